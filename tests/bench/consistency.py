"""Measure how well the detector `consistency` separates wrong from right answers of the default model to general questions.

``make bench PARTS=consistency`` takes ten minutes. An answer is right if it contains one of the known answers (facts.toml). Like the
gateway, the bench asks the model five more times at temperature 1, and passes the first answer and the five to the detector.
"""

import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.exactness import default_model
from detectors.base import Turn
from detectors.evaluate.intervals import of_labels
from detectors.evaluate.metrics import auroc
from detectors.registry import create_text
from serving.engine.factory import create_engine
from serving.engine.protocol import Engine, Sampling
from serving.settings import ModelSettings

FACTS = tomllib.loads(Path(__file__).with_name("facts.toml").read_text(encoding="utf-8"))
SAMPLES, SLOTS = 5, 16
#: Instructions after the question, and the maximum number of tokens of an answer.
FORMS = {
    "one sentence": (" Answer in one sentence.", 40),
    "three sentences": (" Answer, and explain your answer in three sentences.", 110),
}
#: Temperatures of the first answer.
TEMPERATURES = (0.0, 0.7)


def questions() -> Iterator[tuple[str, list[str]]]:
    """Yield each question with its right answers."""
    for table in FACTS.values():
        for fact in " ".join(table["facts"].split()).split("; "):
            subject, _, answers = fact.rpartition(":")
            yield table["ask"].format(subject), answers.split("|")


def is_right(answer: str, known: list[str]) -> bool:
    """Return whether the answer contains a known answer; a short known answer ("9", "Au") must be a whole word."""
    ends = {one: "" if len(one) > 3 else r"(?!\w)" for one in known}
    return any(re.search(rf"(?<!\w){re.escape(one)}{end}", answer, re.IGNORECASE) for one, end in ends.items())


async def answers(engine: Engine, question: str, tokens: int) -> list[str]:
    """Return one answer for each temperature, then the `SAMPLES` further answers."""
    prompt = engine.encode_chat([{"role": "user", "content": question}])
    temperatures = [*TEMPERATURES, *[1.0] * SAMPLES]

    async def one(seed: int, temperature: float) -> str:
        sampling = Sampling(max_tokens=tokens, temperature=temperature, seed=seed)
        return "".join([chunk.text async for chunk in engine.generate(prompt, sampling)])

    return await asyncio.gather(*(one(seed, temperature) for seed, temperature in enumerate(temperatures)))


async def main() -> None:
    detector = create_text("consistency")
    detector.load()
    engine = create_engine(ModelSettings(engine="openvino", device="cpu", slots=SLOTS, threads=2), default_model())
    engine.load()
    asked = list(questions())
    for form, (suffix, tokens) in FORMS.items():
        rows = []
        for begin in range(0, len(asked), SLOTS):
            batch = asked[begin : begin + SLOTS]
            rows += await asyncio.gather(*(answers(engine, question + suffix, tokens) for question, _ in batch))
            print(f"{form}: {len(rows)} of {len(asked)} questions", end="\r", flush=True)
        for number, temperature in enumerate(TEMPERATURES):
            turns = [
                [Turn(role="user", content=question + suffix), Turn(role="assistant", content=row[number])]
                for (question, _), row in zip(asked, rows, strict=True)
            ]
            again = [msgspec.json.encode(row[len(TEMPERATURES) :]).decode() for row in rows]
            scores = detector.score_answers(again, turns)
            wrong = [not is_right(row[number], known) for row, (_, known) in zip(rows, asked, strict=True)]
            values, flagged = [score.score for score in scores], [score.flagged for score in scores]
            low, high = of_labels(wrong, values, flagged)["auroc"]
            shares = {
                kind: sum(flag for flag, is_wrong in zip(flagged, wrong, strict=True) if is_wrong == kind)
                / max(1, wrong.count(kind))
                for kind in (True, False)
            }
            print(
                f"{form}, temperature {temperature:g}: {len(wrong)} answers, {sum(wrong) / len(wrong):.0%} wrong; AUROC {auroc(wrong, values):.2f}"
                f" [{low:.2f}, {high:.2f}]; flagged: {shares[True]:.0%} of the wrong, {shares[False]:.0%} of the right answers"
            )
    await engine.close()


asyncio.run(main())
