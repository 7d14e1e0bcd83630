"""The first step for an operator after an alert of the ledger or about Weir itself; for a detector's alert see `AlertText.runbook`.

The process that raises an alert writes this step into the alert, so consumers need neither this table nor the
detectors. Tests compare this table and the detectors' first steps with docs/runbook.md.
"""

#: The alert of an inactive source, and of a detector that returns nothing: its feature then starts with the prefix.
SILENCE = "silence"
#: The alert of a model whose labelled answers are less often correct than before.
ACCURACY = "accuracy"
DETECTOR_PREFIX = "detector:"
_DETECTOR_SILENCE = f"{SILENCE} of a detector"

#: {detector of an alert, as in docs/runbook.md: first step}.
RUNBOOK: dict[str, str] = {
    ACCURACY: "Read wrong answers (`weir show ID --text`); compare `weir labels accuracy` with the times of deployments; roll back the model or "
    "correct the labels.",
    "coverage": "Find the detector in `weir status`, then find in the logs of score and the ledger why its verdicts did not arrive; the alert "
    "resolves when they do.",
    "gap": "`full`: restore Kafka and shipper, or raise `capture.limit_bytes`; `disk`, `damaged`: free or repair the disk; "
    "`oversize`: see gateway or shipper log.",
    "lag": "Check that score runs (`weir status`); if it runs, start another score process or enable fewer detectors (`[detectors]`, then"
    " restart).",
    "spool": "Restore Kafka and the shipper now (`weir status`); a full spool sheds records or rejects requests (`capture.on_full`).",
    SILENCE: "If the source is inactive, restart the node of its gateway; if it is late, wait until its backlog is delivered, or correct the "
    "clocks of the gateways.",
    _DETECTOR_SILENCE: "Find the detector's error in score's log and in the dead letters; fix it, or remove the detector from `[detectors]` and "
    "restart the stack.",
}


def _name(detector: str, feature: str) -> str:
    return _DETECTOR_SILENCE if detector == SILENCE and feature.startswith(DETECTOR_PREFIX) else detector


def runbook_line(detector: str, feature: str = "") -> str:
    """Return the first step for an alert about Weir itself, or "" for any other alert."""
    return RUNBOOK.get(_name(detector, feature), "")


def runbook_anchor(detector: str, feature: str = "") -> str:
    """Return the anchor of an alert's section in docs/runbook.md, such as ``silence-of-a-detector``."""
    return _name(detector, feature).replace(" ", "-")
