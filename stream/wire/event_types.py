"""The event types of the contract, and the structs of their data."""

from stream.wire.events import alerts, findings, inference, inference_v1, models, progress
from stream.wire.events.base import EventData

ABORTED_TYPE = "weir.inference.aborted.v1"

#: {CloudEvents type: struct of its data}.
EVENT_TYPES: dict[str, type[EventData]] = {
    struct.event_type: struct
    for struct in (
        inference.RequestRecord,
        inference.ResponseRecord,
        inference_v1.RequestRecordV1,
        inference_v1.ResponseRecordV1,
        progress.GapRecord,
        progress.Tick,
        progress.Closed,
        findings.Verdict,
        findings.Signal,
        findings.FindingRecord,
        alerts.AlertRecord,
        alerts.SilenceRecord,
        alerts.RetrainingRecord,
        alerts.Feedback,
        alerts.LabelRecord,
        inference.CorrectionRecord,
        models.ModelRecord,
        models.RouteRecord,
        findings.SentinelRecord,
        findings.ExplanationRecord,
    )
}
EVENT_TYPES[ABORTED_TYPE] = inference_v1.ResponseRecordV1
