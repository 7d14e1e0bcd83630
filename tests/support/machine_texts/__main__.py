"""Print the share of machine texts that the PII detector flags: ``PYTHONPATH=tests python -m support.machine_texts``."""

from collections import Counter

from detectors.pii.detector import PiiDetector
from support.machine_texts import HELD_OUT, TUNED, machine_texts

EACH, SEED = 100, 7


def main() -> None:
    """Score the texts of both halves."""
    detector = PiiDetector()
    detector.load()
    for name, kinds in (("tuned", TUNED), ("held out", HELD_OUT)):
        texts = machine_texts(kinds, EACH, SEED)
        scores = detector.score_many([text for _, text in texts])
        flagged = Counter(kind for (kind, _), score in zip(texts, scores, strict=True) if score.flagged)
        print(f"{name}: {flagged.total()} of {len(texts)} flagged {dict(flagged)}")


if __name__ == "__main__":
    main()
