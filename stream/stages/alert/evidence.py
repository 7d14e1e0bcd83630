"""Adds a finding to an alert's evidence, and limits the size of the evidence."""

from stream.stages.alert.state import Evidence
from stream.wire import FindingRecord

_REFERENCES = 20
#: Largest number of API keys in the record of an alert.
PRINCIPALS = 32
#: Largest number of API keys that an alert's state counts.
COUNTED = 256
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
    evidence.principals = _counted(evidence.principals, finding.principals)
    evidence.last_time = max(evidence.last_time, finding.time)
    evidence.statistic, evidence.limit, evidence.feature = finding.statistic, finding.limit, finding.feature
    if finding.bucket is not None and finding.alarm:
        evidence.details = dict(finding.details)
        evidence.features = list(dict.fromkeys((*evidence.features, finding.feature)))[:_REFERENCES]
    evidence.score = finding.score if finding.bucket is not None else max(evidence.score, finding.score)


def largest(principals: dict[str, int]) -> dict[str, int]:
    """Return the 32 keys with the largest counts."""
    return dict(sorted(principals.items(), key=lambda pair: (-pair[1], pair[0]))[:PRINCIPALS])


def _counted(counts: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Add `more` to `counts` with the algorithm Space-Saving: a new key beyond the 256th replaces the smallest key and continues its count.

    So the sum of the counts is exact, no count is too low, and none is too high by more than 1/256 of the sum. A key with more than 1/256 of the sum is
    present, and a key with more than 1/32 is among the :func:`largest`. So the gate `largest_share` never reads a share of this alert's largest key that
    is too low, and fails wrongly only if the true share is less than 1/256 below the limit.

    Metwally, Agrawal and El Abbadi: Efficient computation of frequent and top-k elements in data streams, ICDT 2005.
    """
    counts = dict(counts)
    for key, count in more.items():
        known = counts.get(key, 0)
        if key not in counts and len(counts) == COUNTED:
            smallest = min(counts, key=lambda name: (counts[name], name))
            known = counts.pop(smallest)
        counts[key] = known + count
    return counts


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
