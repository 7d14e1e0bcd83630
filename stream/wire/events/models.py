"""Model versions, and the routes that state which version answers."""

from typing import ClassVar

from stream.wire.events.base import Count, EventData, Seconds


class ModelRecord(EventData, frozen=True, kw_only=True):
    """One version of a model, with the content digests (SHA-256 in hex) of the files and data from which it was made.

    The key is tenant, model and version. `parent` is the version from which it was made. `method` is the method
    (``sft``, ``kto``, ``int8`` …), and `metrics` are the measurements of its training and its gate. `card` is the model
    card in Markdown, and `uri` is the address of its files. A version whose files were deleted is published again with
    `removed`.
    """

    event_type: ClassVar[str] = "weir.model.v1"

    tenant: str
    model: str
    version: str
    at: Seconds
    parent: str = ""
    method: str = ""
    base_digest: str = ""
    adapter_digest: str = ""
    weights_digest: str = ""
    dataset_digest: str = ""
    retraining_id: str = ""
    uri: str = ""
    metrics: dict[str, float] = {}
    card: str = ""
    removed: bool = False


class RouteRecord(EventData, frozen=True, kw_only=True):
    """The versions that answer the requests of one (tenant, model), from `at` until the record with the next epoch.

    The key is tenant and model; `epoch` increases by one with each record. `weights` is {version: percent of the
    conversations}, 100 in total. `shadow` is the share of the requests, in [0, 1], that the challenger also answers
    without its answer being sent to a user. `by` is the decision's author: ``delivery``, or an operator. `previous` is
    the champion before the last promotion, for a rollback. ``base`` is the version that Weir did not train.
    """

    event_type: ClassVar[str] = "weir.route.v1"

    tenant: str
    model: str
    epoch: Count
    at: Seconds
    champion: str
    challenger: str = ""
    weights: dict[str, Count] = {}
    shadow: float = 0.0
    retraining_id: str = ""
    reason: str = ""
    by: str = ""
    previous: str = ""
