"""Reading of a system prompt: which of its sentences are instructions, facts or confidential, and which secrets it contains.

An assistant may say the facts of its prompt (opening hours) and its persona (its name), and may follow its instructions.
It leaks if it reveals an instruction, a confidential sentence or a secret. Rules and word lists (`leak_words.toml`) decide.
"""

# ruff: noqa: RUF001 - typographic quotation marks
import enum
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from detectors.text.claims import Claim, claim_of, claims
from detectors.text.leak_words import NAMED, QUOTED, TOKEN, patterns, said_before, secrecy, squashed, stem, tokens
from detectors.text.prompt_secrets import JOINER, keys_of, secrets_of, values_of

#: Maximum numbers of sentences and of secrets of a prompt that are compared.
MAX_SENTENCES, MAX_SECRETS = 400, 64
#: Maximum number of words of a topic that a prohibition names, and of characters of a sentence such as "This is confidential."
MAX_TOPIC, MAX_REMARK = 5, 80
#: Replaces words of a sentence that the user may read.
_HOLE = "\0"
_WORD_OR_HOLE = re.compile(rf"\0|{TOKEN.pattern}")
#: Text that the operator orders the assistant to give to the user, such as "give the hotline 116 123".
_GIVEN = re.compile(
    r"\b(?:give|offer|provide|recommend|name|send|point (?:them )?to|refer (?:them )?to|transfer (?:them )?to)\b(?! sequence)[^.,;:!?\n]{3,60}",
    re.IGNORECASE,
)
#: A code that can have separators, such as "AB-12.3"; it has at least one digit and five characters.
_SEPARATED = re.compile(r"(?<!\w)(?=[\w.-]{0,40}\d)(?:[^\W_][_.-]?){4,40}[^\W_](?!\w)")
_LINE = re.compile(r"[^\n]+")
_PERSONA = re.compile(
    r"^\W*(?:you(?:['’]re| are| were|r name| have| live| work| speak| talk| love| like| grew| come| help| assist| support)|i am|act as|play|pretend|role|name|du bist|sie sind|tu es|vous êtes|eres|sei|você é)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"\b(?:must|never|always|should|shall|only|do not|don['’]t|may not|cannot|not allowed|required|forbidden|make sure|no matter|unless)\b",
    re.IGNORECASE,
)
_SECOND = re.compile(r"\b(?:you|your|yourself)\b", re.IGNORECASE)
_GUEST = re.compile(r"\b(?:wi-?fi|wlan|guest network)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"\b(?:that|how|why|what|which|who|where|whether|the fact)\b", re.IGNORECASE)
_PUBLIC = re.compile(
    r"\b(?:tell|share|give|offer|inform|let|mention|provide|hand|advise|remind|suggest|recommend|point|available to|open to)\b[^.!?\n]{0,40}"
    r"\b(?:customers?|users?|guests?|visitors?|callers?|anyone|everyone|everybody|people|them|clients?|patients?|students?|players?|shoppers?|members?|freely|publicly|public)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:only|unless|until|except)\b", re.IGNORECASE)
#: The operator orders the assistant to give the text after these words to the user.
_TOLD = re.compile(
    r"\b(?:tell|inform|remind|explain|mention|say|note|point out|let)\b[^.!?\n]{0,30}\b(?:that|know)\b", re.IGNORECASE
)
#: A tag of XML beside other text; a tag that is alone on its line is a heading.
_TAG = re.compile(r"^[ \t]*<[a-zA-Z][^<>\n]{0,200}>(?=[^\n<]*[^\s<])|(?<=[^\s>])</[a-zA-Z][^<>\n]{0,60}>", re.MULTILINE)
#: Numbers of a list, and initials of names: their full stops end no sentence.
_NUMBERED = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+|(?<=[.;:] )\d{1,2}[.)] ", re.MULTILINE)
_NO_END = re.compile(
    r"(?<![\w-])[A-Z]\.(?= [A-Z]\w+(?:[,;.)]|$))|\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|vs|approx|ca|bzw|Nr)\.(?= )|[!?](?= [a-z])"
)
#: A label such as "Internal:" or "Note, not for applicants:".
_LABEL = re.compile(r"\W*[^\W\d][^.:!?\n]{0,70}:")
_TOLD_PRONOUN = re.compile(
    r"\W*(?:(?:to|with|about|of|for) (?:anyone|anybody|users?|customers?) )?(?:it|this|that|them|these|those|either|both|any of (?:it|this|them))(?=$|[.,;:!?)]|\s+(?:to|with|away|out|before|unless|until|if|under|in|even|or|and|for|is)\b|\s*$)",
    re.IGNORECASE,
)
#: The listener at the end of a prohibition, which is not a topic.
_LISTENER = re.compile(r"(?<=tel{2})\W+(?:(?:the|a|any|our|your) )?[^\W\d_]+\W*$", re.IGNORECASE)
_CODED_OR_NAME = re.compile(
    r"(?<![\w-])(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])[A-Za-z0-9][\w-]{2,60}(?![\w-])|(?<![\w-])[A-Z][A-Z0-9]{3,}(?![\w-])"
    r"|(?<![.!?:\n] )(?<!^)(?<![\w'’-])[A-Z][a-zà-ÿ]+(?!\w)"
)
_REMARK = re.compile(r"\W*(?:this|that|these|those|it|both)\b", re.IGNORECASE)
_FORBIDDEN = re.compile(r"\W*(?:never|do not|don['’]t|no)\b", re.IGNORECASE)
_HEADER = re.compile(r"\s*(?:#|\[|<|=|-{3})|[A-Z][^\n.!?:;,]{2,60}$")
#: Maximum number of characters of a heading that ends with a colon or two asterisks.
_LONGEST_HEADING = 80


class Kind(enum.Enum):
    """The kind of a sentence of a system prompt."""

    FACT = "fact"
    PERSONA = "persona"
    INSTRUCTION = "instruction"
    CONFIDENTIAL = "confidential"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a system prompt.

    `is_order` is whether it is a command, which the assistant may carry out. `tokens` are its words as in `tokens`; "" replaces words that the operator wants the
    user to read.
    """

    kind: Kind
    is_order: bool
    tokens: tuple[str, ...]


class SystemPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The sentences of a system prompt, the texts that must not be revealed, and the words and codes outside the persona."""

    rules: tuple[Rule, ...]
    secrets: tuple[str, ...]
    words: frozenset[str]


@lru_cache(maxsize=64)  # an application sends the same system prompt with each request
def read_system_prompt(text: str) -> SystemPrompt:
    """Return the sentences of a system prompt with their kinds, and its secrets, in time linear in its length."""
    text = _TAG.sub("", _NUMBERED.sub("- ", text))
    text = _NO_END.sub(lambda match: match.group() + JOINER, text)
    found, _ = claims(text, MAX_SENTENCES)
    kinds = _kinds(text, found)
    rules: list[Rule] = []
    secrets: list[str] = []
    for claim, kind in zip(found, kinds, strict=True):
        kept = _without_public_words(claim.text, kind)
        rules.append(
            Rule(
                kind=kind,
                is_order=patterns().imperative.search(claim.text) is not None,
                tokens=tuple(word.lower().replace("’", "'").strip(_HOLE) for word in _WORD_OR_HOLE.findall(kept)),
            )
        )
        secrets += secrets_of(claim.text, kept) if kind is Kind.CONFIDENTIAL else keys_of(claim.text)
    shown = _shown(found, kinds).lower()
    hidden = dict.fromkeys(value.strip().lower() for value in secrets)
    return SystemPrompt(
        rules=tuple(rules),
        secrets=tuple(value for value in hidden if value not in shown)[:MAX_SECRETS],
        words=frozenset(_words(found, kinds)),
    )


def _words(found: Sequence[Claim], kinds: Sequence[Kind]) -> set[str]:
    """Return the long words that are in no sentence about the persona, and all codes, without separators."""
    persona, other = (
        {
            word
            for claim, kind in zip(found, kinds, strict=True)
            if (kind is Kind.PERSONA) is said
            for word in tokens(claim.text)
        }
        for said in (True, False)
    )
    words = {word for word in other - persona if len(word) > 3 and word.isalpha()}
    hidden = (claim.text for claim in found if not (_is_public(claim.text) or _GUEST.search(claim.text)))
    return words | {squashed(code) for text in hidden for code in _SEPARATED.findall(text)}


def _shown(found: Sequence[Claim], kinds: Sequence[Kind]) -> str:
    """Return the sentences that are not confidential, and all quotations that the assistant says."""
    open_ = [claim.text for claim, kind in zip(found, kinds, strict=True) if kind is not Kind.CONFIDENTIAL]
    said = [
        match.group()
        for claim in found
        for match in QUOTED.finditer(claim.text)
        if said_before(claim.text, match.start())
    ]
    return "\n".join((*open_, *said))


def _without_public_words(text: str, kind: Kind) -> str:
    """Return a sentence in which NUL replaces the words that the operator wants the user to read."""
    negation = patterns().negation
    clause = _TOLD.search(text)
    if clause and not negation.search(text[: clause.end()]):
        text = f"{text[: clause.end()]} {_HOLE}"
    text = _GIVEN.sub(
        lambda given: (
            given.group() if negation.search(text[max(0, given.start() - 30) : given.start()]) else f" {_HOLE} "
        ),
        text,
    )
    return QUOTED.sub(
        lambda match: (
            match.group() if kind is Kind.CONFIDENTIAL and not said_before(text, match.start()) else f" {_HOLE} "
        ),
        text,
    )


def _kinds(text: str, found: Sequence[Claim]) -> list[Kind]:
    sections = _sections(text, [claim.start for claim in found])
    kinds = [_kind(claim.text, inside=any(begin <= claim.start < end for begin, end in sections)) for claim in found]
    texts = [claim.text for claim in found]
    _mark_antecedents(texts, kinds)
    _mark_topics(found, kinds)
    return kinds


def _kind(text: str, *, inside: bool) -> Kind:
    """Return the kind of a sentence; `inside` is whether it is in a confidential section."""
    given = patterns()
    ordered = given.imperative.search(text) is not None
    persona = _PERSONA.search(text) is not None
    if given.hides_prompt.search(text) and not values_of(text):
        return Kind.INSTRUCTION
    if _is_public(text):
        return Kind.INSTRUCTION if ordered or _SECOND.search(text) else Kind.FACT
    if (inside and not ordered and not persona) or _is_confidential(text, persona=persona):
        return Kind.CONFIDENTIAL
    if (ordered and not persona) or _ORDER.search(text):
        return Kind.INSTRUCTION
    return Kind.PERSONA if persona or _SECOND.search(text) else Kind.FACT


def _is_public(text: str) -> bool:
    """Return whether a sentence allows the assistant to share something."""
    given = patterns()
    shared = _PUBLIC.search(text) is not None and given.negation.search(text) is None
    return shared and not (given.noun.search(text) and _CONDITION.search(text))


def _is_confidential(text: str, *, persona: bool) -> bool:
    given = patterns()
    if given.confidential.search(text) and not persona:
        return True
    if values_of(text) and not _GUEST.search(text):
        return True
    forbids = given.forbids.search(text)
    if forbids is None:
        return False
    # "… is closed in June; never say so" or "never say that …"
    itself = len(text[: forbids.start()].split()) > 1 and _TOLD_PRONOUN.match(text[forbids.end() :])
    return bool(itself or _CLAUSE.search(text) or _CODED_OR_NAME.search(text))


def _mark_antecedents(texts: Sequence[str], kinds: list[Kind]) -> None:
    """Make a sentence confidential if the next one forbids to reveal "it", or says that it is confidential."""
    given = patterns()
    for row in range(1, len(texts)):
        text = texts[row]
        forbids = given.forbids.search(text)
        remark = len(text) < MAX_REMARK and _REMARK.match(text) and given.confidential.search(text)
        closed = forbids and forbids.start() < 12 and _names_no_topic(text, forbids.end())
        if (closed or remark) and kinds[row - 1] in {Kind.FACT, Kind.INSTRUCTION}:
            kinds[row - 1] = Kind.CONFIDENTIAL


def _names_no_topic(text: str, end: int) -> bool:
    """Return whether a prohibition has only a pronoun or a listener after its verb, which ends at `end`."""
    return (_TOLD_PRONOUN.match(text[end:]) or _LISTENER.match(text, end)) is not None


def _mark_topics(found: Sequence[Claim], kinds: list[Kind]) -> None:
    """Make a sentence confidential if another one forbids to reveal its topic ("never disclose tiers") or label ("key: …")."""
    labels = [NAMED.search(claim.text) for claim in found]
    stems = [frozenset(map(stem, claim.words)) for claim in found]
    for row, text in enumerate(claim.text for claim in found):
        forbids = patterns().forbids.search(text)
        if forbids is None or _names_no_topic(text, forbids.end()):
            continue
        about = frozenset(map(stem, claim_of(text[forbids.end() :]).words)) - secrecy()
        named = {stem(word) for word in tokens(text)}
        for other, own in enumerate(stems):
            shared = len(about & own)
            same = 0 < len(about) <= MAX_TOPIC and 2 * shared >= len(about)
            label = labels[other]
            if (
                other == row
                or not (same or (label and stem(label.group(1)) in named))
                or _FORBIDDEN.match(found[other].text)
            ):
                continue
            if kinds[other] in {Kind.FACT, Kind.INSTRUCTION}:
                kinds[other] = Kind.CONFIDENTIAL


def _is_heading(line: str) -> bool:
    """Return whether a line is a heading: "Internal:", "**Rules**", "# Rules", "RULES"; in time linear in its length."""
    end = len(line)
    while end and not (line[end - 1].isalnum() or line[end - 1] == "_"):
        end -= 1
    marks = [place for sign in (":", "**") if (place := line.find(sign, end)) >= 0]
    return (bool(marks) and min(marks) <= _LONGEST_HEADING) or _HEADER.match(line) is not None


def _sections(text: str, starts: Sequence[int]) -> list[tuple[int, int]]:
    """Return the parts of a prompt that a heading or a label makes confidential, as offsets."""
    found: list[tuple[int, int]] = []
    begin, end = -1, 0
    for match in _LINE.finditer(text):
        heading = _is_heading(match.group())
        if begin >= 0 and (heading or ("\n\n" in text[end : match.start()] and end > begin)):
            found.append((begin, match.start()))
            begin = -1
        if heading and _closes(match.group(), patterns().confidential, patterns().forbids):
            begin = match.end()
        end = match.end()
    if begin >= 0:
        found.append((begin, len(text)))
    for row, start in enumerate(starts):
        label = _LABEL.match(text, start)
        if label and _closes(label.group(), patterns().confidential) and not patterns().noun.search(label.group()):
            found.append((start, _end_of_label(text, starts[row + 1 :])))
    return found


def _closes(heading: str, *signs: re.Pattern[str]) -> bool:
    """Return whether a heading has a sign that the text below it is confidential."""
    return _PERSONA.search(heading) is None and any(sign.search(heading) for sign in signs)


def _end_of_label(text: str, later: Sequence[int]) -> int:
    """Return the end of the text that a label marks: the line, or the next sentence that is an instruction."""
    for start in later:
        beginning = text[start : start + 40]
        if (
            "\n" in text[max(0, start - 2) : start]
            or patterns().imperative.match(beginning)
            or _PERSONA.match(beginning)
        ):
            return start
    return len(text)
