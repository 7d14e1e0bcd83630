"""Training of the linear model of `groundedness`: true answers of T0's tasks against answers that rules corrupted.

The tasks of one data set share passages, so a family is all tasks of a data set. The figures of a family are from a model that
was trained on the other families. The method is that of FactCC (Kryscinski et al., arXiv 1910.12840), with people's answers
instead of sentences of the source.
"""

import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.linear_model import LogisticRegression

from detectors.base import Turn
from detectors.evaluate.intervals import share
from detectors.evaluate.metrics import auroc
from detectors.evaluate.readers import HALUEVAL, T0, halueval, read_lines
from detectors.models.embedding import Embedder, TokenVectors
from detectors.text.claims import claims
from detectors.text.groundedness import Comparison, GroundednessConfig, compare
from detectors.text.sources import sources
from detectors.text.support import FEATURES, Floats, SupportModel, is_statement
from detectors.train.averaged_training import Log
from detectors.train.corruptions import Material, corrupted
from detectors.train.overlap import overlapping
from detectors.train.real_texts import GSM8K

#: Family → beginnings of the names of its tasks, whose answers are based on a passage in the prompt.
FAMILIES = {
    "adversarial_qa": tuple(
        f"adversarial_qa_{model}_{task}"
        for model in ("dbert", "dbidaf", "droberta")
        for task in ("answer_the", "based_on", "question_context", "tell_what")
    ),
    "cnn_dailymail": tuple(f"cnn_dailymail_3_0_0_{task}" for task in ("2_or_3", "news_summary", "sum_in", "tldr")),
    "duorc": tuple(
        f"duorc_{kind}_{task}"
        for kind in ("ParaphraseRC", "SelfRC")
        for task in ("answer_q", "decide", "extract", "movie", "question_a")
    ),
    "gigaword": tuple(f"gigaword_{task}" for task in ("TLDR", "first", "generate_summary", "in_a", "make_a")),
    "quartz": ("quartz_",),
    "quoref": ("quoref_",),
    "ropes": ("ropes_",),
    "samsum": ("samsum_",),
    "wiki_hop": ("wiki_hop_",),
}
#: The same for answers that people wrote with knowledge that the passage does not contain: they are measured, not trained on.
NOISY = {
    "glue_mrpc": ("glue_mrpc_generate",),
    "multi_news": ("multi_news_summ", "multi_news_what"),
    "wiki_bio": ("wiki_bio_comprehension",),
    "xsum": ("xsum_",),
}
#: Tasks of T0 that ask for a text with more than the prompt contains.
INVENTING = (
    "app_reviews_generate", "cnn_dailymail_3_0_0_generate", "cnn_dailymail_3_0_0_spice", "cosmos_qa_context_answer", "cosmos_qa_only",
    "dream_generate", "duorc_ParaphraseRC_build", "duorc_SelfRC_build", "gigaword_write", "multi_news_expand", "wiki_bio_key", "wiki_bio_who",
)  # fmt: skip
TRUE = "true"
#: Share of the true answers of held-out families that the shipped threshold flags, and a lower share for comparison.
FALSE_POSITIVES, FEWER = 0.04, 0.02
STRENGTH, SENTENCES, TRIES, VERSION = 0.1, 3, 50, 2
#: A passage that ends like this was cut, and the answer can depend on the missing end.
_CUT = re.compile(r"\.\.\.[\"”]?\s*(?:\n|$)")
_CONFIG = GroundednessConfig()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of a family: the features of all its statements; for a corrupted answer, those of the corrupted sentence only."""

    family: str
    kind: str
    row: int
    features: Floats


class _Exchange(msgspec.Struct, frozen=True, kw_only=True):
    family: str
    turns: tuple[Turn, ...]
    source: str
    answer: str
    sentences: tuple[str, ...]


class _CachedEmbedder(Embedder):
    """An embedder that remembers the texts of one exchange."""

    def __init__(self) -> None:
        super().__init__(None, 1)
        self.kept: dict[str, TokenVectors] = {}

    def token_vectors(self, texts: Sequence[str]) -> list[TokenVectors]:
        new = list(dict.fromkeys(text for text in texts if text not in self.kept))
        self.kept |= dict(zip(new, super().token_vectors(new), strict=True)) if new else {}
        return [self.kept[text] for text in texts]


def _exchanges(data: Path) -> dict[str, list[_Exchange]]:
    """Return the exchanges by family; each passage and answer occurs once in a family."""
    found: dict[str, dict[tuple[str, str], _Exchange]] = defaultdict(dict)
    for row in read_lines(data / T0):
        prompt, answer = row["prompt"], row["completion"].strip()
        family = next((one for one, tasks in (FAMILIES | NOISY).items() if row["template"].startswith(tasks)), None)
        if family is None or not answer:
            continue
        name = f"{family}, cut" if _CUT.search(prompt) else family
        turns = (Turn(role="user", content=prompt),)
        passages = [one.claim for one in sources(turns, _CONFIG.max_context)[0]]
        source = " ".join(claim.text for claim in passages)
        sentences = [claim.text for claim in claims(answer, _CONFIG.max_sentences)[0] if is_statement(claim)]
        if sentences and sum(len(claim.text) for claim in passages) >= _CONFIG.context_characters:
            one = _Exchange(family=name, turns=turns, source=source, answer=answer, sentences=tuple(sentences))
            found[name].setdefault((source[:200], answer), one)
    return {name: list(rows.values()) for name, rows in found.items()}


def _other(one: _Exchange, rows: Sequence[_Exchange], rng: random.Random) -> _Exchange | None:
    """Return an exchange about another subject: few words of its passage are in that of ``one``."""
    words = set(one.source.split())
    for _ in range(TRIES):
        other = rng.choice(rows)
        if len(words & set(other.source.split())) < 0.6 * len(words) and other.answer != one.answer:
            return other
    return None


def _answers(
    one: _Exchange, row: int, rows: Sequence[_Exchange], embedder: _CachedEmbedder, seed: int
) -> Iterable[Answer]:
    """Yield the true answer, and its corrupted versions unless the family is noisy or cut."""
    embedder.kept.clear()
    found = compare(one.answer, one.turns, embedder, _CONFIG)
    assert found is not None
    yield Answer(family=one.family, kind=TRUE, row=row, features=found.rows)
    rng = random.Random(f"{seed}/{one.family}/{row}")
    other = _other(one, rows, rng)
    if one.family not in FAMILIES or other is None:
        return
    material = Material(source=one.source, other_source=other.source, other_sentence=rng.choice(other.sentences))
    for sentence in rng.sample(one.sentences, min(SENTENCES, len(one.sentences))):
        for made in corrupted(sentence, material, rng):
            begin = one.answer.index(sentence)
            text = one.answer[:begin] + made.text + one.answer[begin + len(sentence) :]
            changed = compare(text, one.turns, embedder, _CONFIG)
            assert changed is not None
            if (place := _touched(changed, begin + made.start, begin + made.end)) is not None:
                yield Answer(family=one.family, kind=made.kind, row=row, features=changed.rows[place : place + 1])


def _touched(found: Comparison, start: int, end: int) -> int | None:
    return next((row for row, claim in enumerate(found.claims) if claim.start < end and claim.end > start), None)


def _fit(answers: Sequence[Answer]) -> SupportModel:
    """Fit a logistic regression; both labels have equal weights, and the weight of a kind of a family is the square root of its size."""
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    for answer in answers:
        sizes[answer.family, answer.kind] += len(answer.features)
    table = np.concatenate([answer.features for answer in answers])
    wrong = np.concatenate([np.full(len(answer.features), answer.kind != TRUE) for answer in answers])
    weights = np.concatenate(
        [np.full(len(answer.features), sizes[answer.family, answer.kind] ** -0.5) for answer in answers]
    )
    weights[wrong] *= weights[~wrong].sum() / weights[wrong].sum()
    mean, deviation = table.mean(0), table.std(0) + 1e-9
    model = LogisticRegression(C=STRENGTH, max_iter=3000)
    model.fit((table - mean) / deviation, wrong, sample_weight=weights / weights.mean())
    slopes = model.coef_[0] / deviation
    bias = float(model.intercept_[0] - slopes @ mean)
    rounded = {name: round(float(value), 4) for name, value in zip(FEATURES, slopes, strict=True)}
    return SupportModel(version=VERSION, bias=round(bias, 4), weights=rounded)


def _scores(model: SupportModel, answers: Sequence[Answer]) -> Floats:
    return np.array([model.doubts(answer.features).max(initial=0.0) for answer in answers])


def _threshold(answers: Sequence[Answer], rate: float) -> float:
    """Return the threshold at which the share `rate` of the true answers is flagged by models of the other families."""
    scores: list[float] = []
    for family in sorted({answer.family for answer in answers}):
        model = _fit([answer for answer in answers if answer.family != family])
        scores += _scores(model, [a for a in answers if a.family == family and a.kind == TRUE]).tolist()
    return float(np.quantile(scores, 1 - rate))


def _figure(flagged: Sequence[bool]) -> dict[str, Any]:
    low, high = share(sum(flagged), len(flagged))
    rate = sum(flagged) / len(flagged) if flagged else None
    return {"answers": len(flagged), "flagged": rate, "interval": [round(low, 4), round(high, 4)]}


def _held_out(answers: Sequence[Answer], rate: float, overlaps: set[tuple[str, int]]) -> dict[str, Any]:
    """Return the figures of each family from a model of the other families, at the threshold of `rate`.

    This threshold was chosen on the same scores, so the answers are also measured at thresholds chosen on the other families.
    """
    flags: dict[str, list[bool]] = defaultdict(list)
    truth: list[bool] = []
    doubts: list[float] = []
    trained = [answer for answer in answers if answer.family in FAMILIES]
    threshold = round(_threshold(trained, rate), 2)
    for family in FAMILIES:
        others = [answer for answer in trained if answer.family != family]
        model, of_others = _fit(others), _threshold(others, rate)
        own = [a for a in trained if a.family == family and (a.family, a.row) not in overlaps]
        for answer, score in zip(own, _scores(model, own).tolist(), strict=True):
            true = answer.kind == TRUE
            for name in ("true", f"true, {family}") if true else (answer.kind, f"corrupted, {family}"):
                flags[name].append(score >= threshold)
            flags[f"{'true' if true else 'corrupted'}, thresholds of the other families"].append(score >= of_others)
            truth.append(not true)
            doubts.append(score)
    model = _fit(trained)
    rest = [answer for answer in answers if answer.family not in FAMILIES]
    for answer, score in zip(rest, _scores(model, rest).tolist(), strict=True):
        flags[f"not trained on, {answer.family}"].append(score >= threshold)
    figures = {name: _figure(found) for name, found in sorted(flags.items())}
    return figures | {"threshold": threshold, "auroc": round(auroc(np.array(truth), np.array(doubts)), 3)}


def _ordinary(data: Path, embedder: _CachedEmbedder, model: SupportModel, threshold: float) -> dict[str, Any]:
    """Return the share of answers without a source that are skipped, and the share that is flagged."""
    t0: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in read_lines(data / T0):
        if not any(row["template"].startswith(tasks) for tasks in (FAMILIES | NOISY).values()):
            t0["invented" if row["template"].startswith(INVENTING) else "other"].append(
                (row["prompt"], row["completion"])
            )
    texts = {
        "gsm8k": [(row["question"], row["answer"]) for row in read_lines(data / GSM8K)],
        "halueval": list(halueval(data / HALUEVAL)),
        "other tasks of T0": t0["other"],
        "tasks of T0 that ask for an invented text": t0["invented"],
    }
    figures: dict[str, Any] = {}
    for name, pairs in texts.items():
        flags, skipped, stating = [], 0, 0
        for prompt, answer in pairs:
            embedder.kept.clear()
            found = compare(answer, (Turn(role="user", content=prompt),), embedder, _CONFIG)
            skipped += found is None
            stating += found is not None and len(found.claims) > 0
            flags.append(found is not None and float(model.doubts(found.rows).max(initial=0.0)) >= threshold)
        figures[name] = _figure(flags) | {"without a source": skipped, "with a source and a statement": stating}
    return figures


def _as_toml(model: SupportModel, seed: int) -> str:
    lines = [f"# Weights of detectors/text/support.py. Write it with: make train TRAINER=groundedness (seed {seed})."]
    lines += [f"version = {model.version}", f"bias = {model.bias}", "", "[weights]"]
    return "\n".join([*lines, *(f"{name} = {value}" for name, value in model.weights.items()), ""])


def train(data: Path, out: Path, seed: int, *, log: Log) -> None:
    """Train the model, write it to ``out`` as TOML, and the figures and the threshold to a JSON file beside it."""
    embedder = _CachedEmbedder()
    embedder.load()
    exchanges = _exchanges(data)
    answers: list[Answer] = []
    for family, rows in sorted(exchanges.items()):
        for row, one in enumerate(rows):
            answers += _answers(one, row, rows, embedder, seed)
        log(f"{family}: {len(rows)} answers, {sum(a.family == family for a in answers)} with the corrupted ones")
    overlaps: set[tuple[str, int]] = set()
    for family in FAMILIES:
        others = [f"{one.source} {one.answer}" for name in FAMILIES if name != family for one in exchanges[name]]
        own = [f"{one.source} {one.answer}" for one in exchanges[family]]
        overlaps |= {(family, row) for row in overlapping(others, own)}
    trained = [answer for answer in answers if answer.family in FAMILIES]
    model, threshold = _fit(trained), round(_threshold(trained, FALSE_POSITIVES), 2)
    out.write_text(_as_toml(model, seed))
    report = {
        "detector": "groundedness",
        "seed": seed,
        "threshold": threshold,
        "answers with common 8-grams, left out of the figures": len(overlaps),
        "held out": _held_out(answers, FALSE_POSITIVES, overlaps),
        "held out, fewer false positives": _held_out(answers, FEWER, overlaps),
        "ordinary": _ordinary(data, embedder, model, threshold),
        "data": {name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in (T0, GSM8K, HALUEVAL)},
        "attribution": {
            T0: "yizhongw/self-instruct, Apache-2.0",
            GSM8K: "openai/grade-school-math, MIT (figures only)",
            HALUEVAL: "RUCAIBox/HaluEval, MIT (figures only)",
        },
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
    }
    out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    log(json.dumps(report, indent=1))
