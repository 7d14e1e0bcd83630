"""The study ``drift``: delays after a change of domain on CLINC and MT-Bench, and false alarms without a change."""

import random
from pathlib import Path

from detectors.evaluate.progress import tracked
from detectors.evaluate.readers import MTBENCH, clinc_domains, mtbench
from detectors.evaluate.studies.alarms import delay_row, embedded, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.models.embedding import Embedder, pack
from detectors.registry import create_stream

LIMIT, REFERENCE = 1000, 40
CONFIG = {"alarm_every_events": LIMIT, "reference_events": REFERENCE}
PROSE = {"writing", "roleplay", "humanities", "stem", "extraction"}


def _delay(before: list[bytes], after: list[bytes], tag: str) -> int | None:
    """Return the number of events from change to alarm: negative if the alarm is earlier, None without an alarm."""
    alarm = first_alarm(create_stream("drift", CONFIG), embedded(tag, [*before, *after]))
    return None if alarm is None else alarm - len(before)


def domain_switch(study: StudyContext) -> list[Row]:
    """Return delays after a change of domain and false alarms on shuffled CLINC."""
    embedder = Embedder()
    embedder.load()
    rng = random.Random(study.seed)
    domains = {name: rng.sample(texts, min(300, len(texts))) for name, texts in clinc_domains(study.data).items()}
    packed = {
        name: [pack(vector) for vector in embedder.embed_many(texts)]
        for name, texts in tracked(study.progress, "embedding domains", domains.items())
    }
    rows = []
    for extra in (0, 60):
        delays = []
        for run in tracked(study.progress, "drift: switch of domain", range(study.runs)):
            first, second, other = rng.sample(sorted(packed), 3)
            before = rng.sample(packed[first] + packed[second], REFERENCE + extra)
            delays.append(_delay(before, rng.sample(packed[other], 100), f"{extra}-{run}"))
        data = f"CLINC, two domains to a third, {extra} events after the reference"
        rows.append(delay_row("drift", data, delays))
    everything = [embedding for group in packed.values() for embedding in group]
    shuffled = [
        _delay(rng.sample(everything, REFERENCE + 500), [], f"null-{run}")
        for run in tracked(study.progress, "drift: no change", range(study.runs))
    ]
    data = "CLINC shuffled, 500 events: runs with an alarm"
    early = sum(delay is not None for delay in shuffled)
    rows.append({"detector": "drift", "data": data, "runs": study.runs, "too_early": early})
    rows.append(_prose_to_code(study.data, embedder))
    return rows


def _prose_to_code(root: Path, embedder: Embedder) -> Row:
    firsts = [(category, turns[0]) for category, turns in mtbench(root / MTBENCH)]
    before, after = (
        [pack(vector) for vector in embedder.embed_many([text for category, text in firsts if category in chosen])]
        for chosen in (PROSE, {"coding"})
    )
    rng = random.Random(0)
    delays = [_delay(rng.sample(before, len(before)), after * 4, f"bench-{run}") for run in range(5)]
    return delay_row("drift", "MT-Bench, prose to coding", delays)
