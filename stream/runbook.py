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
    "pii": "Open a request with `weir show ID`; for a prompt, contact the client's owner; for an answer, find out why the model returns "
    "the data.",
    "toxicity": "Check `principals` (`weir alerts --json`): one API key or many; revoke a key with `weir keys revoke ID`; if the answers are "
    "toxic, stop or roll back the model.",
    "injection": "Open a request with `weir show ID --text` and check what the answer disclosed; then restrict the system prompt or the tools "
    "that the model can call.",
    "hub": "Open a request with `weir show ID`; its verdict has the label that your model found; act as that label requires.",
    "drift": "Find out whether a new use or client explains the change; if the change is permanent, retrain; else find the API key that "
    "sends these requests.",
    "anomaly": "Check the alert's `feature` and `weir status` for a slow replica, long prompts or failing requests, and fix the cause.",
    "sentinel": "Find what changed at `opened_at` (model version, numeric type, engine or machine) and roll it back, or keep the change: it "
    "becomes the new baseline.",
    "coverage": "Find the detector in `weir status` and its error in score's log; after the fix, late verdicts clear this alert.",
    "gap": "Free the disk of the sources in the summary or raise `capture.limit_bytes`, and restore Kafka and the shipper; the counted "
    "requests were served and are not monitored.",
    "lag": "Check that score runs (`weir status`); if it runs, start another score process or enable fewer detectors (`[detectors]`, then"
    " restart).",
    "spool": "Restore Kafka and the shipper now (`weir status`); a full spool sheds records or rejects requests (`capture.on_full`).",
    SILENCE: "Restart the node of this gateway; its spool is adopted and delivered, and the alert resolves three windows after the source "
    "is active again or closed.",
    _DETECTOR_SILENCE: "Find the detector's error in score's log and in the dead letters; fix it, or remove the detector from `[detectors]` and "
    "restart the stack.",
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
