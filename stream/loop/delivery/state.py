"""The stored state of delivery."""

from math import inf

import msgspec

from stream.loop.sequential import TwoSampleTest
from stream.stages.shared.state_codec import decoder
from stream.stages.watch.watermark import SourceLane
from stream.wire import RouteRecord
from stream.wire.route_files import BASE

_VERSION = 2
#: `Canary.step` while the challenger answers in shadow; else `step` is an index into the steps of the settings.
SHADOW = -1


class Canary(msgspec.Struct, kw_only=True):
    """A challenger in shadow or in a canary.

    `tests` compares the flagged answers of challenger and champion by detector, since the start of the shadow. `counts`
    has the challenger's verdicts in this step, by detector, and `since` the event time at which the step began.
    `latest` has the latest verdicts, {id: event time}, and `forgotten` is the newest verdict (event time, id) that is no longer
    in `latest`, so that duplicates are not counted. `first_answers` is {conversation: request id of its first answer}.
    `traceparent` is the trace context of the gate's decision.
    """

    retraining_id: str
    version: str
    detectors: tuple[str, ...]
    step: int
    since: float
    tests: dict[str, TwoSampleTest] = {}
    counts: dict[str, int] = {}
    latest: dict[str, float] = {}
    forgotten: tuple[float, str] = (-inf, "")
    first_answers: dict[str, str] = {}
    traceparent: str = ""


class ModelDelivery(msgspec.Struct, kw_only=True):
    """The state of one (tenant, model); `route` is its newest route.

    `detectors` has the detectors of the latest retraining requests by id, `epochs` the newest epoch of their trainers, and
    `ended` the ids of the latest requests whose delivery ended. `promoted` has the latest promoted versions: {version: (retraining
    id, trace context)}.
    """

    tenant: str
    model: str
    epoch: int = 0
    champion: str = BASE
    previous: str = BASE
    route: RouteRecord | None = None
    canary: Canary | None = None
    detectors: dict[str, tuple[str, ...]] = {}
    epochs: dict[str, int] = {}
    ended: list[str] = []
    promoted: dict[str, tuple[str, str]] = {}


class DeliveryState(msgspec.Struct, kw_only=True):
    """All models, and how far the log was read: {topic: {partition: next offset}}.

    `held` has the verdicts that wait for the watermark.
    """

    version: int = _VERSION
    models: dict[str, ModelDelivery] = {}
    offsets: dict[str, dict[int, int]] = {}
    lanes: list[SourceLane] = []
    watermark: float | None = None
    held: list["HeldVerdict"] = []


class HeldVerdict(msgspec.Struct, frozen=True, array_like=True, order=True):
    """A verdict on an answer, or the end of its request, that waits for the earlier records of a model with a canary.

    `id` identifies the answer and the detector, whichever version of the detector gave the verdict.
    `is_error` is whether the detector could not read the answer.
    """

    time: float
    id: str
    conversation: str
    key: str
    detector: str
    version: str
    flagged: bool
    request_id: str = ""
    is_error: bool = False


decode = decoder(DeliveryState)
