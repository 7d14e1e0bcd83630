"""The alert about missing verdicts (`coverage`)."""

from stream.count_text import count_text
from stream.ledger.alerts.condition import Condition, counted
from stream.ledger.coverage import MissingVerdicts

__all__ = ["missing_verdicts"]


def missing_verdicts(missing: MissingVerdicts) -> Condition:
    """Return the condition that opens the alert about `missing`."""
    return Condition(
        detector="coverage",
        severity="critical",
        summary=(
            f"{count_text(missing.pairs, 'expected verdict')} on {count_text(missing.requests_total, 'request')}"
            f" {'is' if missing.pairs == 1 else 'are'} missing: {counted(missing.detectors)};"
            f" tenants {counted(missing.tenants)}; models {counted(missing.models)}"
        ),
        opening=missing.first,
        evidence=missing.requests,
        evidence_total=missing.requests_total,
        statistic=float(missing.pairs),
    )
