"""Texts of real origin for the shared encoder: tasks planted in documents, and harmless texts of many kinds.

Both kinds are cut to pieces of the length of one window, because the encoder reads windows. The documents and attacks
are those of BIPIA's training part (Yi et al., arXiv 2312.14197). The split is by document and category of attack, by task
template, or by code file, so the held-out splits share none of these with the train split.
"""

import json
import random
import re
import sysconfig
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectors.evaluate.entity_sets import WIKIGOLD, conll
from detectors.evaluate.examples import UNKNOWN, Example, labels
from detectors.evaluate.readers import HALUEVAL, T0, halueval, read_json, read_lines, t0_tasks
from detectors.train.templates import of_split

BIPIA = "injection/bipia_train.json.gz"
GSM8K = "ordinary/gsm8k_train_3000.jsonl.gz"
#: Files whose texts are read if they exist.
REAL_FILES = (BIPIA, T0, GSM8K, WIKIGOLD)
#: Characters of a piece: about the tokens of one window; code and tables have more tokens a character.
WINDOW, DENSE = 430, 280
#: Number of texts of each kind: of `PLANTED` in the train split (12 % of it in each other split), of the other kinds in all splits.
PLANTED = {"email": 1500, "code": 700, "table": 400}
CODE, PACKAGES, DOCS, TASKS, ANSWERS, MATHS, PROSE, REPEATED = 1200, 4000, 2500, 3000, 1200, 400, 500, 150
SHORT, FRAGMENTS = 1500, 1500
#: Maximum number of characters of a short answer.
_SHORT = 40
#: Names of files with code, markup or settings in installed packages.
_CODE_FILE = re.compile(r".+\.(pyi?|pyx|js|ts|css|html|h|[hc]pp|cuh?|sh|yaml|json|toml)")
_RANDOM_WORDS = ("word", "test", "hello", "la", "the", "ok", "data", "a", "yes", "company", "buffalo", "0", "foo", "no")


def _rng(*parts: object) -> random.Random:
    return random.Random(" ".join(map(str, parts)))


def split_of(key: str) -> str:
    """Return the split of all texts with ``key``, such as a file: a tenth of the keys are in "test", a tenth in "tune"."""
    bucket = zlib.crc32(key.encode()) % 10
    return "test" if bucket == 0 else "tune" if bucket == 1 else "train"


def piece(text: str, rng: random.Random, length: int = WINDOW, around: tuple[int, int] | None = None) -> str:
    """Return a random piece of at most ``length`` characters; it contains the span ``around``, or the span's beginning."""
    if len(text) <= length:
        return text
    first, last = around or (len(text), length)
    latest = min(first, len(text) - length)
    start = rng.randint(min(max(0, last - length), latest), latest)
    return text[start : start + length]


def inserted(document: str, attack: str, rng: random.Random) -> tuple[str, tuple[int, int]]:
    """Insert an attack at the start, at a line or sentence inside, or at the end; return the text and the attack's span."""
    places = [0, len(document), len(document)]
    places += [at + 1 for at, character in enumerate(document) if character in ".\n"]
    at = rng.choice(places[: 3 if rng.random() < 0.7 else None])
    gap = rng.choice([" ", "\n", "\n\n"])
    before = document[:at] + gap if at else ""
    text = before + attack + gap + document[at:]
    return text, (len(before), len(before) + len(attack))


def _by_document(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the rows of each document; several rows ask different questions about the same document."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        context = row["context"]
        found.setdefault("\n".join(context) if isinstance(context, list) else context, []).append(row)
    return found


def planted_examples(root: Path, seed: int = 0) -> Iterator[Example]:
    """Yield documents with a planted task or planted code, the same documents clean, and with a question about them.

    Tasks are BIPIA's and HaluEval's user questions, because BIPIA's 75 tasks alone would be memorised.
    """
    if not (root / BIPIA).exists():
        return
    data = read_json(root / BIPIA)
    questions = [q for q, _ in halueval(root / HALUEVAL) if len(q) < 150] if (root / HALUEVAL).exists() else []
    for split, share in (("train", 1.0), ("tune", 0.12), ("test", 0.12)):
        for kind, count in PLANTED.items():
            rng, length = _rng("planted", kind, split, seed), WINDOW if kind == "email" else DENSE
            attacks = [
                one
                for group in of_split(list(data[f"{'code' if kind == 'code' else 'text'}_attacks"].values()), split)
                for one in group
            ]
            more = [question for question in questions if split_of(question) == split] if kind != "code" else []
            found = _by_document(data[kind])
            documents = of_split(list(found), split)
            for _ in range(int(count * share)):
                attack = rng.choice(more) if more and rng.random() < 0.25 else rng.choice(attacks)
                text, span = inserted(rng.choice(documents), attack, rng)
                yield Example(piece(text, rng, length, span), labels(UNKNOWN, 1.0), 1.0, f"bipia_{kind}", split)
                clean = rng.choice(documents)
                yield Example(piece(clean, rng, length), labels(0.0), 1.0, f"bipia_{kind}_clean", split)
                if kind == "email" and rng.random() < 0.3:
                    document = rng.choice(documents)
                    pair = [document[:WINDOW], rng.choice(found[document])["question"].removeprefix("Q: ")]
                    yield Example("\n".join(rng.sample(pair, 2)), labels(0.0), 1.0, "bipia_question", split)


def _of_usual_size(paths: Iterable[Path]) -> list[Path]:
    return sorted(path for path in paths if path.is_file() and 400 < path.stat().st_size < 400_000)


def _code_files(packages: Path) -> list[Path]:
    """Return the files with code of the installed packages; of each name, one, because many packages contain copies."""
    named = {path.name: path for path in sorted(packages.rglob("*")) if _CODE_FILE.fullmatch(path.name)}
    return _of_usual_size(named.values())


def _file_name(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _pieces(
    paths: Sequence[Path], source: str, count: int, seed: int, named: Callable[[Path], str] = _file_name
) -> Iterator[Example]:
    """Yield pieces of random files; ``named`` returns the name of a file that decides its split."""
    rng = _rng(source, seed)
    for _ in range(count):
        path = rng.choice(paths)
        text = path.read_text(encoding="utf-8", errors="replace")
        yield Example(piece(text, rng), labels(0.0), 1.0, source, split_of(named(path)))


def _short_answers(path: Path, rng: random.Random) -> Iterator[Example]:
    """Yield different short completions of T0; an answer of several templates has the split of the last one."""
    answers = {row["completion"].strip(): row["template"] for row in read_lines(path)}
    short = {text: name for text, name in sorted(answers.items()) if 0 < len(text) <= _SHORT}
    for text in rng.sample(list(short), min(SHORT, len(short))):
        yield Example(text, labels(0.0), 1.0, "t0_short", split_of(short[text]))


def code_examples(seed: int = 0) -> Iterator[Example]:
    """Yield pieces of Python's library and of the code of installed packages; the split is by file."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    yield from _pieces(_of_usual_size(stdlib.glob("*.py")) + _of_usual_size(stdlib.glob("*/*.py")), "code", CODE, seed)
    yield from _pieces(_code_files(Path(sysconfig.get_path("purelib"))), "package_code", PACKAGES, seed)


def document_examples(seed: int = 0) -> Iterator[Example]:
    """Yield pieces of documents of the installed packages; the split is by package, because the documents of a package repeat sentences."""
    packages = Path(sysconfig.get_path("purelib"))

    def package(path: Path) -> str:
        return path.relative_to(packages).parts[0].partition("-")[0].lower()

    documents = _of_usual_size(packages.glob("*.dist-info/METADATA")) + _of_usual_size(packages.rglob("*.md"))
    yield from _pieces(documents, "package_docs", DOCS, seed, package)


def real_examples(root: Path, seed: int = 0) -> Iterator[Example]:
    """Yield harmless texts: code and documents of the installed Python, task prompts, maths, prose, repeated words."""
    yield from code_examples(seed)
    yield from document_examples(seed)
    if (root / T0).exists():
        rng = _rng("t0", seed)
        prompts = [(name, text) for name, texts in sorted(t0_tasks(root).items()) for text in texts]
        for name, text in rng.sample(prompts, min(TASKS, len(prompts))):
            yield Example(piece(text, rng), labels(0.0), 1.0, "t0_prompt", split_of(name))
        rows = [(row["template"], row["completion"]) for row in read_lines(root / T0) if len(row["completion"]) > 60]
        for name, text in rng.sample(rows, min(ANSWERS, len(rows))):
            yield Example(piece(text, rng), labels(0.0), 1.0, "t0_completion", split_of(name))
        yield from _short_answers(root / T0, rng)
    if (root / GSM8K).exists():
        rng = _rng("gsm8k", seed)
        for row in rng.sample(list(read_lines(root / GSM8K)), MATHS):
            text = row["question"] if rng.random() < 0.6 else row["answer"]
            yield Example(text, labels(0.0), 1.0, "gsm8k", split_of(text))
    if (root / WIKIGOLD).exists():
        sentences = [" ".join(word for word, _ in sentence) for sentence in conll(root / WIKIGOLD)]
        for text in _rng("prose", seed).sample(sentences, PROSE):
            yield Example(text, labels(0.0), 1.0, "wikigold", split_of(text))
        rng = _rng("fragment", seed)
        for text in rng.sample(sentences, FRAGMENTS):
            words = text.split()
            start = rng.randrange(len(words))
            yield Example(
                " ".join(words[start : start + rng.randint(1, 3)]), labels(0.0), 1.0, "fragment", split_of(text)
            )
    rng = _rng("repeated", seed)
    for _ in range(REPEATED):
        words = rng.sample(_RANDOM_WORDS, rng.choice([1, 1, 1, 2, 3]))
        text = rng.choice([" ", " ", "", "\n", ", "]).join(words * rng.randint(2, 60))
        yield Example(text, labels(0.0), 1.0, "repeated", split_of(json.dumps(words)))
