"""Compute on request which terms are typical of a drift alert's evidence texts; texts and terms are not stored."""

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from stream.ledger.queries.console_queries import AlertStory, LedgerPages
from stream.ledger.queries.page_cursor import Cursor
from stream.settings import KafkaSettings
from stream.stages.score.event_features import PROMPT, TOOL_RESULT, turn_texts
from weir.operate.request_text import RequestText, read_texts

DRIFT = "drift"
#: Number of earlier requests to compare with the evidence, and of the tenant's requests to search for the same model.
_REFERENCE_TEXTS = 60
_SEARCHED_REQUESTS = 300
#: Pages to search: a page of one tenant can have no request although a later page has some.
_SEARCHED_PAGES = 20
#: Minimum number of evidence texts with a term, because a term in one text does not describe a cluster.
_MIN_TEXTS = 3
#: Chi-squared with one degree of freedom, p < 0.01.
_MIN_LIKELIHOOD_RATIO = 6.63
_TERMS = 10
_WORD = re.compile(r"[^\W\d_](?:[\w'\u2019-]*\w)?")
_MIN_CHARACTERS = 3


class Term(msgspec.Struct, frozen=True, kw_only=True):
    """A term, and the numbers of evidence texts and of reference texts that contain the term."""

    term: str
    texts: int
    reference_texts: int


class ClusterTerms(msgspec.Struct, frozen=True, kw_only=True):
    """At most 10 terms of an alert's evidence, the most typical first, and the numbers of texts that could be read.

    `texts` counts texts of the evidence, `reference_texts` texts of earlier requests of the same tenant and model.
    """

    terms: tuple[Term, ...]
    texts: int
    reference_texts: int


async def cluster_terms(
    kafka: KafkaSettings, pages: LedgerPages, story: AlertStory, log_access: Callable[[str], None]
) -> ClusterTerms:
    """Return the terms that are typical of a drift alert's evidence, compared with earlier requests; raises BrokerError."""
    alert = story.alert
    reference = await asyncio.to_thread(_reference, pages, story)
    evidence, before = [
        [*(await texts_of(kafka, pages, request_ids, alert.side, alert.part, log_access)).values()]
        for request_ids in (alert.evidence, reference)
    ]
    return ClusterTerms(terms=typical_terms(evidence, before), texts=len(evidence), reference_texts=len(before))


def _reference(pages: LedgerPages, story: AlertStory) -> list[str]:
    """Return the ids of the last requests of the alert's tenant and model before the drift; omit evidence."""
    changed = story.series.changed if story.series is not None else None
    changed_at = changed.details.get("changed_at", 0.0) if changed is not None else 0.0
    before = min(changed_at or story.alert.opened_at, story.alert.opened_at)
    alert, cursor, found = story.alert, Cursor(before, ""), list[str]()
    for _ in range(_SEARCHED_PAGES):
        page = pages.requests(before=cursor, limit=_SEARCHED_REQUESTS, tenant=alert.tenant)
        same = [row.request_id for row in page.requests if row.model == alert.model]
        found += [request_id for request_id in same if request_id not in alert.evidence]
        if len(found) >= _REFERENCE_TEXTS or not page.next:
            break
        cursor = Cursor.parse(page.next)
    return found[:_REFERENCE_TEXTS]


async def texts_of(  # noqa: PLR0913, PLR0917 - where the texts are, and which part of each
    kafka: KafkaSettings,
    pages: LedgerPages,
    request_ids: Iterable[str],
    side: str,
    part: str,
    log_access: Callable[[str], None],
) -> dict[str, str]:
    """Log the accesses, and return the text of a stream of each request that Kafka still has; raises BrokerError."""
    stories = [story for name in request_ids if (story := await asyncio.to_thread(pages.request, name))]
    for story in stories:
        log_access(story.request_id)
    texts = await read_texts(kafka.client_options(), stories)
    return {
        story.request_id: text
        for story, one in zip(stories, texts, strict=True)
        if (text := evidence_text(one, side, part))
    }


def evidence_text(text: RequestText, side: str, part: str) -> str | None:
    """Return the part of a request's text that a stream consists of: with a part group, only the newest turn's."""
    if part in {PROMPT, TOOL_RESULT}:
        return turn_texts(text.messages).get(part)
    return text.joined(side)


def typical_terms(texts: Sequence[str], reference: Sequence[str]) -> tuple[Term, ...]:
    """Return the words that occur in significantly more of `texts` than of `reference`, by Dunning's log-likelihood ratio.

    The result is empty for languages without spaces between words.

    References
    ----------
    T. Dunning, "Accurate methods for the statistics of surprise and coincidence", Computational Linguistics 19(1), 1993.

    Examples
    --------
    >>> texts = ["index a table", "a slow table", "join the table"]
    >>> typical_terms(texts, ["boil an egg", "a soup", "bake a cake"])
    (Term(term='table', texts=3, reference_texts=0),)
    """
    counts, before = _document_frequency(texts), _document_frequency(reference)
    ranked = []
    for word, count in counts.items():
        ratio = _likelihood_ratio(count, len(texts), before[word], len(reference))
        if count >= _MIN_TEXTS and ratio >= _MIN_LIKELIHOOD_RATIO:
            ranked.append((-ratio, word))
    return tuple(
        Term(term=word, texts=counts[word], reference_texts=before[word]) for _ratio, word in sorted(ranked)[:_TERMS]
    )


def _document_frequency(texts: Iterable[str]) -> Counter[str]:
    return Counter(
        word
        for text in texts
        for word in {found.casefold() for found in _WORD.findall(text) if len(found) >= _MIN_CHARACTERS}
    )


def _likelihood_ratio(count: int, texts: int, before: int, reference: int) -> float:
    """Return the log-likelihood ratio G² of a word that is in `count` of `texts` and in `before` of `reference` texts.

    The result is 0 if the share of texts with the word did not grow.
    """
    if not reference or count * reference <= before * texts:
        return 0.0
    share = (count + before) / (texts + reference)
    cells = (
        (count, texts * share),
        (before, reference * share),
        (texts - count, texts * (1 - share)),
        (reference - before, reference * (1 - share)),
    )
    return 2.0 * sum(observed * math.log(observed / expected) for observed, expected in cells if observed)
