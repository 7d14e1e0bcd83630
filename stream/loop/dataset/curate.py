"""Curation: a pure function from joined exchanges to the rows of a dataset; it counts every row that it leaves out."""

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from stream.loop.dataset.candidates import Candidate, candidate_of_old, candidates_of, is_excluded
from stream.loop.dataset.clusters import clusters, quantised
from stream.loop.dataset.exchanges import Exchange
from stream.loop.dataset.files import Bound
from stream.loop.dataset.near_duplicates import NearDuplicates, groups, leaders
from stream.loop.dataset.rows import Kind, Row, Turn, digest_of
from stream.loop.dataset.scanner import HARMFUL, Scanner
from stream.loop.dataset.texts import has_placeholder, is_poor, masked, normalised
from stream.loop.settings import DatasetSettings


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate row in the report, without text. `outcome` is its split, or the reason why it was left out."""

    prompt_characters: int
    answer_characters: int
    language: str
    cluster: int
    embedding: bytes | None
    outcome: str


class Curated(msgspec.Struct, frozen=True, kw_only=True):
    """The result of curation.

    `dropped` is {reason: number of candidate rows}. `principals` are the keys that reviewed rows, and `authors` is
    {id of a row: key of its request}, without the copies of augmentation. `reviewers` is {id of a new row: keys whose
    reviews support it}.
    """

    train: tuple[Row, ...]
    eval: tuple[Row, ...]
    dropped: dict[str, int]
    bounds: tuple[Bound, ...]
    facts: tuple[Facts, ...]
    principals: tuple[str, ...]
    authors: dict[str, str] = {}
    reviewers: dict[str, tuple[str, ...]] = {}

    @property
    def digest(self) -> str:
        """The SHA-256 of the rows in hex."""
        return digest_of(self.train, self.eval)


def curate(  # noqa: PLR0913 - the inputs that decide a dataset
    exchanges: Iterable[Exchange],
    settings: DatasetSettings,
    kind: Kind,
    scanner: Scanner,
    *,
    held_out: Sequence[str] = (),
    old: Sequence[Row] = (),
    old_authors: Mapping[str, str] = MappingProxyType({}),
) -> Curated:
    """Return the rows of a dataset.

    `held_out` are the prompts of the gate's tasks and its safety prompts, whose near duplicates are left out. `old` are the rows of the
    dataset of the promoted version, and `old_authors` is {id of an old row: API key of its request}. The result depends
    on the arguments only, not on the order of `exchanges`.
    """
    work = _Curation(settings, kind, scanner)
    return work.run(exchanges, held_out, old, old_authors)


class _Curation:
    def __init__(self, settings: DatasetSettings, kind: Kind, scanner: Scanner) -> None:
        self._settings = settings
        self._kind: Kind = kind
        self._scanner = scanner
        self._left: list[Candidate] = []
        self._outcomes: dict[str, str] = {}
        self._all: list[Candidate] = []
        self._bounds: list[Bound] = []

    def run(
        self,
        exchanges: Iterable[Exchange],
        held_out: Sequence[str],
        old: Sequence[Row],
        old_authors: Mapping[str, str],
    ) -> Curated:
        found, self._outcomes = candidates_of(exchanges, self._settings, self._kind)
        # Newest reviews first: an older answer can be outdated. Then in the order of a hash, which clients cannot choose.
        self._left = sorted(found, key=lambda one: (one.rank, -one.at, _hash(one.id)))
        self._all = list(self._left)
        if held_out:  # before placeholders replace words of the prompts
            self._held_out(held_out, "held_out")
        self._clean()
        self._texts()
        self._duplicates()
        self._held_out(held_out, "held_out")
        self._bound_answers()
        self._bound_principals()
        self._older_corrections()
        self._scan()
        self._cluster()
        held, train = self._split()
        replayed = self._replayed(self._allowed(old, old_authors), train, held, held_out)
        rows = [self._row(one) for one in self._coreset(train, len(replayed))]
        chosen = {row.id for row in rows}
        self._outcomes |= {one.id: "coreset" for one in train if one.id not in chosen}
        self._outcomes |= dict.fromkeys(chosen, "train") | {one.id: "eval" for one in held}
        named = {*chosen, *(row.id for row in replayed), *(one.id for one in held)}
        authors = {**old_authors, **{one.id: one.author for one in (*train, *held)}}
        return Curated(
            train=tuple(sorted([*rows, *replayed, *self._augmented(rows)], key=lambda row: row.id)),
            eval=tuple(sorted((self._row(one) for one in held), key=lambda row: row.id)),
            dropped=dict(sorted(Counter(o for o in self._outcomes.values() if o not in {"train", "eval"}).items())),
            bounds=tuple(sorted(self._bounds, key=lambda one: (one.name, -one.found, one.of))),
            facts=self._facts(),
            principals=tuple(sorted({row.principal for row in rows})),
            authors={name: authors[name] for name in sorted(named) if name in authors},
            reviewers={one.id: one.reviewers for one in (*train, *held) if one.id in named},
        )

    def _keep(self, reason: str, wanted: Callable[[Candidate], bool]) -> None:
        kept = []
        for one in self._left:
            if wanted(one):
                kept.append(one)
            else:
                self._outcomes[one.id] = reason
        self._left = kept

    def _clean(self) -> None:
        """Mask or drop what the verdicts of the log found, then normalise."""
        if self._settings.pii == "drop":
            self._keep("personal_data", lambda one: not one.personal)
        for one in self._left:
            one.change_texts(lambda text, spans: normalised(masked(text, spans)))

    def _texts(self) -> None:
        least, most = self._settings.min_characters, self._settings.max_characters
        languages = set(self._settings.languages)
        self._keep("length", lambda one: least <= len(one.answer) <= most and 0 < len(one.prompt_text) <= most)
        self._keep("quality", lambda one: not is_poor(one.answer))
        for one in self._left:
            one.language = self._scanner.language(one.answer)
        self._keep("language", lambda one: not languages or one.language in languages)

    def _duplicates(self) -> None:
        self._keep_first("duplicate", [one.text for one in self._left])
        # Each by itself, because a long text hides a short one: a question about a document, or its answer.
        parts = zip(*((one.asked, one.question, one.answer) for one in self._left), strict=True)
        numbers = zip(*(leaders(texts, self._settings.near_duplicate) for texts in parts), strict=True)
        self._keep_first("near_duplicate", zip(numbers, [one.wanted for one in self._left], strict=True))

    def _older_corrections(self) -> None:
        """Keep the newest correction of each prompt; after the bounds, so that the newer ones of one key replace few rows."""
        corrections = [one for one in self._left if one.source == "correction"]
        newest = {one.prompt: one.id for one in sorted(corrections, key=lambda one: (one.at, _hash(one.id)))}
        self._keep("older_correction", lambda one: one.source != "correction" or newest[one.prompt] == one.id)

    def _keep_first(self, reason: str, keys: Iterable[Hashable]) -> None:
        """Keep the first of the rows with equal keys; `keys` has the key of each row."""
        first: dict[Hashable, str] = {}
        for one, key in zip(self._left, keys, strict=True):
            first.setdefault(key, one.id)
        chosen = set(first.values())
        self._keep(reason, lambda one: one.id in chosen)

    def _held_out(self, prompts: Iterable[str], reason: str) -> None:
        index = self._index(prompts)
        self._keep(reason, lambda one: all(index.find(normalised(text)) is None for text in (one.asked, one.question)))

    def _index(self, prompts: Iterable[str]) -> NearDuplicates:
        index = NearDuplicates(self._settings.near_duplicate)
        for number, prompt in enumerate(sorted(set(prompts))):
            index.insert(number, normalised(prompt))
        return index

    def _bound_answers(self) -> None:
        numbers = leaders([one.answer for one in self._left], self._settings.near_duplicate)
        leader = {one.id: self._left[number].id for one, number in zip(self._left, numbers, strict=True)}
        self._bound("max_per_answer", self._settings.max_per_answer, lambda one: (leader[one.id],))

    def _bound_principals(self) -> None:
        """Bound the rows by reviewer, then by author; a row with several reviewers counts for the one with the fewest rows.

        From here on, the rows are ordered by rounds, and old rows follow; in each round, every reviewer has one row. So a
        reviewer with many rows cannot exclude the other reviewers from the rows of an author or from the coreset.
        """
        most = self._settings.max_per_principal
        self._bound("max_per_principal", most, lambda one: one.reviewers, assign=True)
        rounds = Counter[str]()
        numbers: dict[str, int] = {}
        for one in self._left:
            numbers[one.id] = rounds[one.reviewer]
            rounds[one.reviewer] += 1
        self._left.sort(key=lambda one: (one.source == "replay", numbers[one.id], _hash(one.id)))
        self._bound("max_per_principal", most, lambda one: (one.author,))

    def _bound(
        self, name: str, most: int, keys_of: Callable[[Candidate], tuple[str, ...]], *, assign: bool = False
    ) -> None:
        kept, refused = Counter[str](), Counter[str]()

        def fits(one: Candidate) -> bool:
            keys = keys_of(one)
            free = min(keys, key=lambda key: kept[key])  # so the rows name as many keys as possible
            if kept[free] >= most:
                refused.update(keys)
                return False
            kept[free] += 1
            if assign:
                one.reviewer = free
            return True

        self._keep(name, fits)
        self._bounds += [
            Bound(name=name, of=key, found=kept[key] + number, kept=kept[key]) for key, number in refused.items()
        ]

    def _scan(self) -> None:
        """Let the detectors read the texts that would be used, because the log has no verdict on some of these texts."""
        texts = sorted({text for one in self._left for text in one.texts})
        found = dict(zip(texts, self._scanner.personal(texts), strict=True))
        spans = {text: own for text, own in found.items() if own is not None}
        self._keep("personal_data", lambda one: all(text in spans for text in one.texts))
        if self._settings.pii == "drop":
            self._keep("personal_data", lambda one: not any(spans[text] for text in one.texts))
        flagged = {
            name: {text for text, found in zip(texts, self._scanner.flagged(name, texts), strict=True) if found}
            for name in HARMFUL
        }
        toxic, attack = (flagged[name] for name in HARMFUL)
        self._keep("toxicity", lambda one: not toxic.intersection(one.texts))
        self._keep("injection", lambda one: not attack.intersection(one.untrusted))
        for one in self._left:
            one.change_texts(lambda text, _: masked(text, spans[text]))
        if any(spans.values()):  # texts that differed only in personal data
            self._duplicates()
            self._bound_answers()

    def _cluster(self) -> None:
        embedded = [one for one in self._left if one.embedding]
        sizes = Counter(len(one.embedding or b"") for one in embedded)
        usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
        embedded = sorted((one for one in embedded if len(one.embedding or b"") == usual), key=lambda one: one.id)
        if not embedded:
            return
        numbers = clusters(quantised([one.embedding or b"" for one in embedded]), self._settings.clusters)
        for one, number in zip(embedded, numbers, strict=True):
            one.cluster = number

    def _split(self) -> tuple[list[Candidate], list[Candidate]]:
        """Return the held-out rows and the others; conversations and groups of similar prompts are not divided."""
        left, threshold = self._left, self._settings.near_duplicate
        numbers = groups([one.asked for one in left], [one.conversation for one in left], threshold)
        rows = [[left[number] for number in group] for group in numbers]
        usable = min(len(self._left), self._settings.max_examples)
        wanted = -(-usable * round(self._settings.eval_share * 1000) // 1000)
        held: list[Candidate] = []
        if len(rows) > 1:
            for group in sorted(rows, key=lambda group: _hash(*sorted(one.id for one in group))):
                if len(held) + len(group) <= wanted:
                    held += group
        ids = {one.id for one in held}
        self._left = [one for one in self._left if one.id not in ids]
        self._held_out((one.asked for one in held), "similar_to_eval")
        return held, self._left

    def _allowed(self, old: Sequence[Row], authors: Mapping[str, str]) -> list[Candidate]:
        """Return the old rows of this kind without those of excluded keys; a row of an unknown author can be one of these."""
        excluded = set(self._settings.exclude_keys)
        rows = (
            row for row in sorted(old, key=lambda row: _hash(row.id)) if row.kind == self._kind and "#" not in row.id
        )
        found = [candidate_of_old(row, authors.get(row.id, "")) for row in rows]
        return [
            one
            for one in found
            if not excluded
            or (one.author and not any(is_excluded(key, excluded) for key in (one.author, *one.reviewers)))
        ]

    def _replayed(
        self, old: Sequence[Candidate], train: list[Candidate], held: list[Candidate], held_out: Sequence[str]
    ) -> list[Row]:
        """Return the old rows to add: a share of the result, without those that resemble a new row or a prompt of the gate.

        Old rows can have placeholders for personal data, so they are also compared with the masked prompts. Rows of
        held-out conversations are left out too, and rows of requests that are in this log with a review: if such a
        request is left out, its old row must not bring it back.
        """
        if not old:
            return []
        hidden = [
            masked(text, spans or ()) for text, spans in zip(held_out, self._scanner.personal(held_out), strict=True)
        ]
        index = self._index([*held_out, *hidden, *(one.asked for one in (*train, *held))])
        known = {*self._outcomes, *(one.id for one in self._all)}
        conversations = {one.conversation for one in held}
        usable = [
            one
            for one in old
            if one.id not in known
            and one.conversation not in conversations
            and all(index.find(text) is None for text in (one.asked, one.question))
            and not (self._settings.pii == "drop" and any(has_placeholder(text) for text in one.texts))
        ]
        share = min(round(self._settings.replay_share * 1000), 999)
        total = min(self._settings.max_examples, len(train) * 1000 // (1000 - share))
        passed = _Curation(self._settings, self._kind, self._scanner).passed(usable, train)
        return [self._row(one) for one in passed[: total * share // 1000]]

    def passed(self, old: list[Candidate], new: Sequence[Candidate]) -> list[Candidate]:
        """Return the old rows that pass the checks of new rows, and the bounds, for which `new` counts first."""
        self._left = old
        self._texts()
        self._scan()
        counted = [msgspec.structs.replace(one, reviewers=(one.reviewer,)) for one in new]
        self._left = [*counted, *self._left]
        self._bound_answers()
        self._bound_principals()
        return [one for one in self._left if one.source == "replay"]

    def _coreset(self, train: list[Candidate], replayed: int) -> list[Candidate]:
        """Return at most `max_examples` rows, evenly from the clusters, in the order of `train` within a cluster."""
        most = self._settings.max_examples - replayed
        members: dict[int, list[Candidate]] = {}
        for one in train:
            members.setdefault(one.cluster, []).append(one)
        ordered = sorted(members.items(), key=lambda item: (len(item[1]), item[0]))
        chosen: list[Candidate] = []
        for row, (_, group) in enumerate(ordered):
            chosen += group[: (most - len(chosen)) // (len(ordered) - row)]
        return chosen

    def _augmented(self, rows: Iterable[Row]) -> list[Row]:
        if self._settings.augment == "none":
            return []
        return [
            msgspec.structs.replace(
                row,
                id=f"{row.id}#lower",
                prompt=tuple(Turn(role=turn.role, content=turn.content.lower()) for turn in row.prompt),
            )
            for row in rows
        ]

    def _row(self, one: Candidate) -> Row:
        return Row(
            id=one.id,
            kind=self._kind,
            prompt=one.prompt,
            completion=one.answer,
            label=one.wanted if self._kind == "kto" else None,
            source=one.source,
            conversation=one.conversation,
            cluster=one.cluster,
            principal=one.reviewer,
        )

    def _facts(self) -> tuple[Facts, ...]:
        return tuple(
            Facts(
                prompt_characters=len(one.prompt_text),
                answer_characters=len(one.answer),
                language=one.language,
                cluster=one.cluster,
                embedding=one.embedding,
                outcome=self._outcomes[one.id],
            )
            for one in sorted(self._all, key=lambda one: one.id)
        )


def _hash(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode()).digest()
