"""Reading of a system prompt: which of its sentences are instructions, facts or confidential, and which secrets it contains.

An assistant may tell the facts of its prompt (opening hours) and its persona (its name), and may follow its instructions.
It leaks if it tells an instruction, a confidential sentence or a secret. Rules and word lists decide, in time linear in the
length of the prompt; `leak_words.toml` has the word lists.
"""

# ruff: noqa: RUF001 - typographic quotation marks
import enum
import re
from collections.abc import Sequence
from functools import cache
from itertools import takewhile

import msgspec

from detectors.text.claims import claims
from detectors.text.subjects import Subject, is_year, stem, subject_of
from detectors.toml_files import read_toml

__all__ = ["Kind", "Rule", "SystemPrompt", "Words", "alternatives", "read_system_prompt", "tokens", "words"]

#: Most sentences and secrets of a prompt that are compared.
MAX_SENTENCES, MAX_SECRETS = 400, 64
_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_QUOTES = "\"“”„«»`"
_QUOTED = re.compile(rf"[{_QUOTES}]([^{_QUOTES}\n]{{2,120}})[{_QUOTES}]|(?<![\w'’])['‘]([^'‘’\n]{{2,80}})['’](?!\w)")
_SAY = re.compile(
    r"\b(?:say(?:ing)?|repl(?:y|ies)|respond|answer|tell|greet|begin|start|end|sign|finish|write|ask|append|add|reason|message)\b"
    rf"[^{_QUOTES}.!?]{{0,30}}$",
    re.IGNORECASE,
)
#: A key, or an address with a password.
_KEY = re.compile(r"(?<=://)[^\s:/@]{1,60}:[^\s/@]{3,60}(?=@)|(?<![\w-])(?=[\w-]{0,63}\d)(?=[\w-]{0,63}[A-Za-z])[A-Za-z0-9][\w-]{14,120}(?![\w-])")
#: A code in a confidential sentence: letters and digits, or capitals.
_CODE = re.compile(r"(?<![\w-])(?=[\w-]{0,40}\d)(?=[\w-]{0,40}[A-Za-z])[A-Za-z0-9][\w-]{2,60}(?![\w-])|(?<![\w-])[A-Z][A-Z0-9]{3,}(?:-[A-Z0-9]+)*(?![\w-])")
_NUMBER = re.compile(r"(?<![\w.,])[$€£]? ?\d[\d.,:/-]*(?<=\d)(?: ?%| ?(?:percent|per cent|euros?|dollars?|pounds?|million|billion|thousand|k|m)\b)?(?![\w])")
_NAME = re.compile(r"(?<![.!?:\n] )(?<!^)(?<![\w'’-])[A-Z][a-zà-ÿ]+(?: [A-Z][a-zà-ÿ]+)*(?!\w)")
#: What the user is given on the operator's order, such as "give the hotline 116 123".
_GIVEN = re.compile(r"\b(?:give|offer|provide|recommend|name|send|point (?:them )?to|refer (?:them )?to|transfer (?:them )?to)\b(?! sequence)[^.,;:!?\n]{3,60}", re.IGNORECASE)
_LINE = re.compile(r"[^\n]+")
_VALUE_ENDS = frozenset(
    "and but which for if so never do only when unless because to that in on at or with you this it is are don't use used please must should keep not as while then who after before from by".split()
)
_SHOUTED = frozenset("NEVER ALWAYS NOT MUST ONLY DON DONT INTERNAL SECRET CONFIDENTIAL IMPORTANT NOTE RULE RULES WARNING STAFF PRIVATE HTTP HTTPS JSON HTML TODO WITH THIS THAT YOUR SYSTEM PROMPT CODE PASSWORD USER USERS UNDER CIRCUMSTANCES REVEAL ANYONE WILL SHALL HAVE".split())
_PERSONA = re.compile(r"^\W*(?:you(?:['’]re| are| were|r name| have| live| work| speak| talk| love| like| grew| come| help| assist| support)|i am|act as|play|pretend|role|name|du bist|sie sind|tu es|vous êtes|eres|sei|você é)\b", re.IGNORECASE)
_ORDER = re.compile(r"\b(?:must|never|always|should|shall|only|do not|don['’]t|may not|cannot|not allowed|required|forbidden|make sure|no matter|unless)\b", re.IGNORECASE)
_SECOND = re.compile(r"\b(?:you|your|yourself)\b", re.IGNORECASE)
_GUEST = re.compile(r"\b(?:wi-?fi|wlan|guest network)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"\b(?:that|how|why|what|which|who|where|whether|the fact)\b", re.IGNORECASE)
_PUBLIC = re.compile(
    r"\b(?:tell|share|give|offer|inform|let|mention|provide|hand|advise|remind|suggest|recommend|point|available to|open to)\b[^.!?\n]{0,40}"
    r"\b(?:customers?|users?|guests?|visitors?|callers?|anyone|everyone|everybody|people|them|clients?|patients?|students?|players?|shoppers?|members?|freely|publicly|public)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"\b(?:only|unless|until|except)\b", re.IGNORECASE)
#: What follows is told to the user on the operator's order.
_TOLD = re.compile(r"\b(?:tell|inform|remind|explain|mention|say|note|point out|let)\b[^.!?\n]{0,30}\b(?:that|know)\b", re.IGNORECASE)
#: A label of one word, such as "key:".
_NAMED = re.compile(r"(?:^\W*|[.?!;]\u2060?\s+)([^\W\d_]{3,20})\s*[:=]\s")
#: Numbers of a list, and initials of names: their full stops end no sentence.
_NUMBERED = re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+|(?<=[.;:] )\d{1,2}[.)] ", re.MULTILINE)
_NO_END = re.compile(r"(?<![\w-])[A-Z]\.(?= [A-Z]\w+(?:[,;.)]|$))|\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|vs|approx|ca|bzw|Nr)\.(?= )|[!?](?= [a-z])")
_JOINER = "\u2060"
#: A label such as "Internal:" or "Note, not for applicants:".
_LABEL = re.compile(r"\W*[^\W\d][^.:!?\n]{0,70}:")
_TOKEN_OR_HOLE = re.compile(r"\0|[^\W_]+(?:['’][^\W_]+)?")
_TOLD_PRONOUN = re.compile(
    r"\W*(?:(?:to|with|about|of|for) (?:anyone|anybody|users?|customers?) )?(?:it|this|that|them|these|those|either|both|any of (?:it|this|them))(?=$|[.,;:!?)]|\s+(?:to|with|away|out|before|unless|until|if|under|in|even|or|and|for|is)\b|\s*$)",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(r"\W*(?:never|do not|don['’]t|no)\b", re.IGNORECASE)
_HEADER = re.compile(r"^\W*[^\n]{0,80}(?::\W*$|\*\*\W*$)|^\s*(?:#|\[|<|=|-{3})|^[A-Z][^\n.!?:;,]{2,60}$")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The word lists of `leak_words.toml`."""

    secret_nouns: tuple[str, ...]
    confidential: tuple[str, ...]
    tell: tuple[str, ...]
    negations: tuple[str, ...]
    operator_text: tuple[str, ...]
    imperatives: tuple[str, ...]
    cues: tuple[str, ...]
    refusals: tuple[str, ...]
    requests: tuple[str, ...]
    own_requests: tuple[str, ...]
    secrecy: tuple[str, ...]


@cache
def words() -> Words:
    """Return the word lists."""
    return read_toml("detectors.text", "leak_words.toml", Words)


def alternatives(listed: Sequence[str]) -> str:
    """Return a regular expression of whole words that matches any of the expressions in `listed`."""
    return rf"(?<!\w)(?:{'|'.join(listed)})(?!\w)"


class _Patterns:
    """The regular expressions made of the word lists."""

    def __init__(self) -> None:
        lists = words()
        noun = alternatives(lists.secret_nouns)
        self.noun = re.compile(noun, re.IGNORECASE)
        self.confidential = re.compile(alternatives(lists.confidential), re.IGNORECASE)
        tell = alternatives([f"(?:{'|'.join(lists.tell)})(?:n|d|ed|s|ing)?"])
        self.forbids = re.compile(rf"{alternatives(lists.negations)}(?! (?:like|want|need|have|know)\b)[^.!?\n]{{0,40}}?{tell}", re.IGNORECASE)
        self.hides_prompt = re.compile(
            rf"{alternatives(lists.negations)}[^.!?\n]{{0,40}}?{tell}[^.!?\n]{{0,40}}?{alternatives(lists.operator_text)}", re.IGNORECASE
        )
        self.negation = re.compile(alternatives(lists.negations), re.IGNORECASE)
        self.value = re.compile(
            rf"{noun}(?: (?:for|of|to|that|used|which|on)\b[^.:=\n]{{0,60}}?)?(?:\s*[:=→]\s*|\s+(?:is|was|ist|lautet|est|es|é|è|reads)\s*:?\s+)",
            re.IGNORECASE,
        )
        self.coded_value = re.compile(rf"{noun}(?: (?:is|are|to|called|of))?[\s(]+", re.IGNORECASE)
        self.imperative = re.compile(rf"^\W*(?:{'|'.join(lists.imperatives)})(?!\w)", re.IGNORECASE)


@cache
def _patterns() -> _Patterns:
    return _Patterns()


class Kind(enum.Enum):
    """What a sentence of a system prompt is."""

    FACT = "fact"
    PERSONA = "persona"
    INSTRUCTION = "instruction"
    CONFIDENTIAL = "confidential"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a system prompt.

    `is_order` is whether it is a command, which the assistant may carry out. `tokens` are its words as in `tokens`; "" replaces words that the operator wants the user to read. `stems` are the stems
    that say what it is about; it has none if it only forbids to tell the prompt.
    """

    kind: Kind
    is_order: bool
    tokens: tuple[str, ...]
    subject: Subject


class SystemPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """The sentences of a system prompt, the texts that must not be told, and the words that stand only in a secret sentence or an instruction."""

    rules: tuple[Rule, ...]
    secrets: tuple[str, ...]
    words: frozenset[str]


def tokens(text: str) -> list[str]:
    """Return the words of a text in lower case; "I'm" and "it's" are one word."""
    return [match.group().lower().replace("’", "'") for match in _TOKEN.finditer(text)]


def read_system_prompt(text: str) -> SystemPrompt:
    """Return the sentences of a system prompt with their kinds, and its secrets."""
    text = _NO_END.sub(lambda match: match.group() + _JOINER, _NUMBERED.sub("- ", text))
    found, _ = claims(text, MAX_SENTENCES)
    subjects = [subject_of(claim) for claim in found]
    inside = Sections(text, [claim.start for claim in found])
    kinds = [_kind(claim.text, section=inside(claim.start)) for claim in found]
    _mark_antecedents([claim.text for claim in found], kinds)
    _mark_topics([claim.text for claim in found], subjects, kinds)
    facts = [subject for subject, kind in zip(subjects, kinds, strict=True) if kind is Kind.FACT]
    persona = [subject for subject, kind in zip(subjects, kinds, strict=True) if kind is Kind.PERSONA]
    common = _secrecy() | {one for subject in facts for one in subject.stems | subject.names}
    stems = common | {one for subject in persona for one in subject.stems | subject.names}
    numbers = {number for subject in facts for number in subject.numbers}
    rules: list[Rule] = []
    secrets: dict[str, None] = {}
    for claim, kind in zip(found, kinds, strict=True):
        told = _told(claim.text, kind)
        about, _ = claims(told.replace("\0", " "), 1)
        subject = subject_of(about[0]) if about else Subject(frozenset(), frozenset(), frozenset())
        hidden = subject.stems - stems if kind is not Kind.PERSONA else subject.stems - common
        rules.append(
            Rule(
                kind=kind,
                is_order=_patterns().imperative.search(claim.text) is not None,
                tokens=tuple("" if token == "\0" else _lower(token) for token in _TOKEN_OR_HOLE.findall(told)),
                subject=Subject(hidden, subject.numbers - numbers, subject.names - stems),
            )
        )
        secrets |= dict.fromkeys(value.strip().lower() for value in _secrets(claim.text, told, kind))
    shown = "\n".join(claim.text for claim, kind in zip(found, kinds, strict=True) if kind is not Kind.CONFIDENTIAL)
    shown += "\n".join(match.group() for claim in found for match in _QUOTED.finditer(claim.text) if _SAY.search(claim.text[: match.start()]))
    known = {token for rule in rules if rule.kind in {Kind.PERSONA} for token in rule.tokens}
    hidden = {token for rule in rules if rule.kind is not Kind.PERSONA for token in rule.tokens if len(token) > 3 and token.isalpha()}
    return SystemPrompt(rules=tuple(rules), secrets=tuple(value for value in secrets if value not in shown.lower())[:MAX_SECRETS], words=frozenset(hidden - known))


@cache
def _secrecy() -> frozenset[str]:
    return frozenset(stem(word) for word in words().secrecy)


def _lower(token: str) -> str:
    return token.lower().replace("’", "'")


def _mark_topics(texts: Sequence[str], subjects: Sequence[Subject], kinds: list[Kind]) -> None:
    """Make a sentence confidential if another one forbids to tell its topic ("never disclose tiers")."""
    patterns = _patterns()
    for row, text in enumerate(texts):
        forbids = patterns.forbids.search(text)
        if forbids is None:
            continue
        about, _ = claims(text[forbids.end() :], 1)
        topic = ({stem(word) for word in about[0].words} - _secrecy()) if about else set()
        named = {stem(word) for word in tokens(text)}
        for other, subject in enumerate(subjects):
            shared = topic & (subject.stems | subject.names)
            same = 0 < len(topic) <= 5 and 2 * len(shared) >= len(topic)
            labelled = (label := _NAMED.search(texts[other])) is not None and stem(label.group(1)) in named
            if other != row and kinds[other] in {Kind.FACT, Kind.INSTRUCTION} and (same or labelled) and not _FORBIDDEN.match(texts[other]):
                kinds[other] = Kind.CONFIDENTIAL


def _told(text: str, kind: Kind) -> str:
    """Return a sentence in which NUL replaces the words that the operator wants the user to read."""
    negation = _patterns().negation
    clause = _TOLD.search(text)
    if clause and not negation.search(text[: clause.end()]):
        text = text[: clause.end()] + " \0"
    text = _GIVEN.sub(lambda given: given.group() if negation.search(text[max(0, given.start() - 30) : given.start()]) else " \0 ", text)
    if kind is not Kind.CONFIDENTIAL:
        return _QUOTED.sub(" \0 ", text)
    return _QUOTED.sub(lambda match: " \0 " if _SAY.search(text[: match.start()]) else match.group(), text)


def _kind(text: str, *, section: bool) -> Kind:
    patterns = _patterns()
    persona = _PERSONA.search(text) is not None
    forbids = patterns.forbids.search(text) is not None
    if patterns.hides_prompt.search(text) and not _values(text):
        return Kind.INSTRUCTION
    public = _PUBLIC.search(text) is not None and patterns.negation.search(text) is None
    noun = patterns.noun.search(text) is not None
    if public and not (noun and _CONDITION.search(text)):
        return Kind.INSTRUCTION if patterns.imperative.search(text) or _SECOND.search(text) else Kind.FACT
    if (section and not patterns.imperative.search(text) and not persona) or (patterns.confidential.search(text) and not persona):
        return Kind.CONFIDENTIAL
    if _values(text) and not _GUEST.search(text):
        return Kind.CONFIDENTIAL
    forbidden = patterns.forbids.search(text)
    if forbidden and _forbids_itself(text, forbidden):
        return Kind.CONFIDENTIAL
    if forbids and (_CLAUSE.search(text) or _CODE.search(text) or _NAME.search(text)):
        return Kind.CONFIDENTIAL
    if persona and not _ORDER.search(text):
        return Kind.PERSONA
    if patterns.imperative.search(text) or _ORDER.search(text):
        return Kind.INSTRUCTION
    return Kind.PERSONA if _SECOND.search(text) else Kind.FACT


def _forbids_itself(text: str, forbids: re.Match[str]) -> bool:
    """Return whether a sentence states something and forbids to tell it ("…; never tell them")."""
    return len(text[: forbids.start()].split()) > 1 and _TOLD_PRONOUN.match(text[forbids.end() :]) is not None


def _mark_antecedents(texts: Sequence[str], kinds: list[Kind]) -> None:
    """Make a sentence confidential if the next one forbids to tell "it"."""
    patterns = _patterns()
    for row in range(1, len(texts)):
        text = texts[row]
        forbids = patterns.forbids.search(text)
        closed = forbids and forbids.start() < 12 and _TOLD_PRONOUN.match(text[forbids.end() :])
        closed = closed or (patterns.confidential.search(text) and len(text) < 80 and re.match(r"\W*(?:this|that|these|those|it|both)\b", text, re.IGNORECASE))
        if closed and kinds[row - 1] in {Kind.FACT, Kind.INSTRUCTION}:
            kinds[row - 1] = Kind.CONFIDENTIAL


class Sections:
    """The parts of a prompt that a heading makes confidential: the lines below it, or the rest of its own line."""

    def __init__(self, text: str, starts: Sequence[int]) -> None:
        patterns = _patterns()
        self._spans: list[tuple[int, int]] = []
        begin: int | None = None
        end = 0
        for match in _LINE.finditer(text):
            line = match.group()
            header = _HEADER.search(line) is not None
            if begin is not None and (header or ("\n\n" in text[end : match.start()] and end > begin)):
                self._spans.append((begin, match.start()))
                begin = None
            closed = header and (patterns.confidential.search(line) or patterns.forbids.search(line))
            if closed and not _PERSONA.search(line):
                begin = match.end()
            end = match.end()
        if begin is not None:
            self._spans.append((begin, len(text)))
        for start in starts:
            label = _LABEL.match(text, start)
            if label and patterns.confidential.search(label.group()) and not _PERSONA.search(label.group()) and not patterns.noun.search(label.group()):
                self._spans.append((start, _end_of_label(text, [one for one in starts if one > start])))

    def __call__(self, position: int) -> bool:
        """Return whether the sentence at `position` is in such a part."""
        return any(begin <= position < end for begin, end in self._spans)


def _end_of_label(text: str, later: Sequence[int]) -> int:
    """Return the end of what a label marks: the line, or the next sentence that is an instruction."""
    for start in later:
        if "\n" in text[max(0, start - 2) : start] or _patterns().imperative.match(text[start : start + 40]) or _PERSONA.match(text[start : start + 40]):
            return start
    return len(text)


def _values(text: str) -> list[str]:
    """Return what follows "the password is" and the like; after a noun alone, only a quotation or a code counts."""
    found: list[str] = []
    patterns = _patterns()
    for pattern, any_word in ((patterns.value, True), (patterns.coded_value, False)):
        for match in pattern.finditer(text):
            rest = text[match.end() : match.end() + 200]
            if quoted := _QUOTED.match(rest):
                found.append(quoted.group(1) or quoted.group(2))
                continue
            taken = list(takewhile(lambda word: word.lower() not in _VALUE_ENDS, _phrase(rest)))
            if not taken or taken[0].lower() in _NO_VALUE:
                continue
            if _is_coded(taken[0]):
                found.append(taken[0])
            elif any_word and len(taken) <= 5:
                found.append(" ".join(taken))
    return [value for value in found if len(value) > 2]


def _phrase(text: str) -> list[str]:
    """Return the words before the first sign that ends a phrase."""
    taken: list[str] = []
    for word in text.split():
        bare = word.replace(_JOINER, "").rstrip(".,;:!?)—–").strip(_QUOTES + "'’*`(")
        if bare:
            taken.append(bare)
        if bare != word.replace(_JOINER, "").strip(_QUOTES + "'’*`(") and _JOINER not in word or not bare:
            break
    return taken


def _is_coded(word: str) -> bool:
    shouted = word.isupper() and len(word) > 2 and word.isalpha()
    return any(map(str.isdigit, word)) or (shouted and word not in _SHOUTED) or (not word.islower() and not word.istitle() and not word.isalpha() and len(word) > 4)


#: Words after "the password is" that are no password.
_NO_VALUE = frozenset(
    "confidential secret private never not required correct wrong needed a an the known invalid valid internal your my their our always protected safe hidden stored sensitive allowed forbidden given provided shared what wrong, below above important very strictly still all any asked set changed one".split()
)


#: Labels whose value is a secret in a confidential sentence.
_ANSWERS = frozenset("key code password passphrase passcode secret word answer solution pin token canary".split())


def _secrets(text: str, told: str, kind: Kind) -> list[str]:
    """Return the keys of a sentence and, of a confidential one, its values, quotations, codes and long numbers.

    `told` is the sentence without the words that the operator wants the user to read.
    """
    if kind is not Kind.CONFIDENTIAL:
        return [match.group() for match in _KEY.finditer(text) if _is_random(match.group())]
    found = _values(text) + [match.group() for match in _KEY.finditer(text)]
    if (label := _NAMED.search(text)) and label.group(1).lower() in _ANSWERS and 0 < len(value := _phrase(text[label.end() :])) < 4:
        found.append(" ".join(value))
    found += [match.group(1) or match.group(2) for match in _QUOTED.finditer(told)]
    codes = [match.group() for match in _CODE.finditer(told)]
    shouted = sum(code.isalpha() for code in codes) > 2
    found += [code for code in codes if code not in _SHOUTED and not code.isdigit() and not (shouted and code.isalpha())]
    found += [m.group() for m in _NUMBER.finditer(told) if len(re.sub(r"\D", "", m.group())) > 3 and not is_year(m.group())]
    return found


def _is_random(text: str) -> bool:
    """Return whether a part of a key of eight or more characters has digits and letters, so that it is no name."""
    return ":" in text or any(
        len(part) > 7 and sum(map(str.isdigit, part)) > 1 and any(map(str.isalpha, part)) for part in re.split(r"[-_]", text)
    )
