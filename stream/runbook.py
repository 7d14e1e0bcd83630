"""What to do now, in one sentence an alert: the one table that alerts carry, `weir alerts` prints and docs/operate.md repeats.

Why this exists: whoever is woken by an alert reads its line before any document. A test holds docs/operate.md against this table,
and this table against every detector that can raise an alert.
"""

__all__ = ["DETECTOR_PREFIX", "RUNBOOK", "SILENCE", "runbook_anchor", "runbook_line"]

#: What a source, or a detector, that says nothing alerts as.
SILENCE = "silence"
#: A silence is about a source, or, with this before its name, about a detector.
DETECTOR_PREFIX = "detector:"
_DETECTOR_SILENCE = "silence of a detector"

#: Detector of an alert, as docs/operate.md names it, to what to do.
RUNBOOK: dict[str, str] = {
    "pii": "Open a request of the evidence with `weir show ID`; for a prompt tell the client's owner, for an answer find out what makes the"
    " model say it.",
    "toxicity": "See in `principals` (`weir alerts --json`) whether it is one API key or many; revoke one with `weir keys revoke ID`, and where"
    " the answers are toxic stop or roll back the model.",
    "injection": "Open a request of the evidence with `weir show ID --text` and check what its answer gave away; tighten the system prompt"
    " or the tools that the model may call.",
    "hub": "Open a request of the evidence with `weir show ID`: its verdict says which label of your model it was; what that asks for is"
    " yours to say.",
    "drift": "Find out whether a new use or client explains it; if it will last, retrain, else find the key that sends it.",
    "anomaly": "Look at the alert's `feature` and at `weir status`: a slow replica, long prompts or failing requests; mend that one.",
    "sentinel": "Find what changed at `opened_at` (the model's version, numeric type, engine or machine) and roll it back, or let it"
    " stand: what lasts becomes the new normal.",
    "coverage": "Look in `weir status` for the detector that is missing and in score's log for its error; once it works again, late verdicts"
    " settle the debt.",
    "gap": "Free the disk of the sources that it names or raise `capture.limit_bytes`, and get Kafka and the shipper going; what is counted"
    " there was served but is not watched.",
    "lag": "Look whether score runs (`weir status`); if it does, start another score process or score less (`[detectors]`, then a restart).",
    "spool": "Get Kafka and the shipper going now (`weir status`); when the spool is full, `capture.on_full` sheds or rejects.",
    SILENCE: "Restart the node of that gateway; its spool is adopted and delivered, and the alert resolves three windows after the source is"
    " heard again or closed.",
    _DETECTOR_SILENCE: "Look in score's log and in the dead letters for the detector's error; mend it, or take it out of `[detectors]`"
    " and restart the stack, since serve says what is owed.",
}


def _name(detector: str, feature: str) -> str:
    return _DETECTOR_SILENCE if detector == SILENCE and feature.startswith(DETECTOR_PREFIX) else detector


def runbook_line(detector: str, feature: str = "") -> str:
    """Return what to do about an alert of `detector`, "" where the table does not know it."""
    return RUNBOOK.get(_name(detector, feature), "")


def runbook_anchor(detector: str, feature: str = "") -> str:
    """Return the anchor of its section in docs/runbook.md, "" where the table does not know it.

    Examples
    --------
    >>> runbook_anchor("silence", "detector:pii")
    'silence-of-a-detector'
    """
    name = _name(detector, feature)
    return name.replace(" ", "-") if name in RUNBOOK else ""
