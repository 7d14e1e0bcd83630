"""Adds a finding to an alert's evidence, and limits the size of the evidence."""

from stream.stages.alert.state import Evidence
from stream.wire import FindingRecord

_REFERENCES = 20
#: Largest number of API keys in the evidence of an alert.
PRINCIPALS = 32
_RECENT_WINDOWS = 64


def add(evidence: Evidence, finding_id: str, finding: FindingRecord, trace: str) -> None:
    """Add the finding with id `finding_id` and trace context `trace` to `evidence`."""
    _count_window(evidence, _window(evidence, finding))
    evidence.count += 1
    evidence.events += finding.events
    evidence.requests_total += max(len(finding.evidence), finding.events if finding.bucket is not None else 1)
    for request_id in finding.evidence:
        _keep(evidence.requests, request_id)
    _keep(evidence.findings, finding_id)
    for context in (trace, *finding.traces):
        if context:
            _keep(evidence.traces, context)
    evidence.principals = _merged(evidence.principals, finding.principals)
    evidence.last_time = max(evidence.last_time, finding.time)
    evidence.statistic, evidence.limit, evidence.feature = finding.statistic, finding.limit, finding.feature
    if finding.bucket is not None and finding.alarm:
        evidence.details = dict(finding.details)
        _keep(evidence.features, finding.feature)
    evidence.score = finding.score if finding.bucket is not None else max(evidence.score, finding.score)


def _merged(first: dict[str, int], second: dict[str, int]) -> dict[str, int]:
    """Add the counts of both mappings key by key; return the 32 keys with the largest sums."""
    sums = dict(first)
    for key, count in second.items():
        sums[key] = sums.get(key, 0) + count
    if len(sums) <= PRINCIPALS:
        return sums
    return dict(sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))[:PRINCIPALS])


def _keep(references: list[str], reference: str) -> None:
    """Add `reference` unless it is present; keep the first ten and the latest ten references."""
    if reference in references:
        return
    references.append(reference)
    if len(references) > _REFERENCES:
        del references[_REFERENCES // 2]


def _window(evidence: Evidence, finding: FindingRecord) -> int:
    return finding.bucket if finding.bucket is not None else int(finding.time // evidence.window_seconds)


def _count_window(evidence: Evidence, window: int) -> None:
    if window in evidence.recent_windows:
        return
    evidence.windows += 1
    evidence.recent_windows.append(window)
    if len(evidence.recent_windows) > _RECENT_WINDOWS:
        evidence.recent_windows.remove(min(evidence.recent_windows))
