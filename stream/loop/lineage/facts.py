"""The records of the log that a chain consists of. Only ids, times and flags are kept, never content."""

import msgspec

from stream.wire import (
    AlertRecord,
    Event,
    FindingRecord,
    LogRange,
    ModelRecord,
    RequestRecord,
    RetrainingRecord,
    RouteRecord,
    Verdict,
)

_DECIDED = frozenset({"blessed", "refused"})


class Place(msgspec.Struct, frozen=True):
    """The position of a record in the log."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.partition}@{self.offset}"


class DatasetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset on disk: its digest as computed from its rows, its ranges of the log, and the requests of its rows.

    `retraining_id` is the request that it was built for, or "". `has_old_rows` states whether rows are from an earlier dataset; their
    requests are usually before the ranges.
    """

    digest: str
    retraining_id: str = ""
    ranges: tuple[LogRange, ...] = ()
    request_ids: frozenset[str] = frozenset()
    has_old_rows: bool = False


def route_name(route: RouteRecord) -> str:
    """Return the name of a route in :attr:`Facts.places`; epochs are counted by tenant and model."""
    return f"route {route.tenant}/{route.model}/{route.epoch}"


class Facts:
    """The facts about the versions of models.

    :meth:`add` keeps the part of a record that a chain can need. Of requests, verdicts and findings, only those of the
    requests in `wanted` are kept, so memory depends on the chain and not on the log.
    """

    def __init__(self) -> None:
        self.models: dict[str, ModelRecord] = {}
        self.routes: list[RouteRecord] = []
        self.retraining: dict[str, list[RetrainingRecord]] = {}
        self.alerts: dict[str, AlertRecord] = {}
        self.requests: set[str] = set()
        #: {(request id, detector)} of flagged verdicts and of findings with this request as evidence.
        self.flagged: set[tuple[str, str]] = set()
        self.places: dict[str, Place] = {}
        self.wanted: frozenset[str] = frozenset()

    def add(self, event: Event, place: Place) -> None:
        """Add one record; ignore an alert record of an older revision."""
        data = event.data
        if isinstance(data, ModelRecord):
            self.models[data.version] = data
            self.places[data.version] = place
        elif isinstance(data, RouteRecord):
            self.routes.append(data)
            self.places[route_name(data)] = place
        elif isinstance(data, RetrainingRecord):
            self.retraining.setdefault(data.retraining_id, []).append(data)
            self.places[f"{data.retraining_id}/{data.state}"] = place
        elif isinstance(data, AlertRecord):
            known = self.alerts.get(data.alert_id)
            if known is None or data.revision >= known.revision:
                self.alerts[data.alert_id] = data
                self.places[data.alert_id] = place
        else:
            self._add_evidence(data, place)

    def _add_evidence(self, data: object, place: Place) -> None:
        if isinstance(data, RequestRecord) and data.request_id in self.wanted:
            self.requests.add(data.request_id)
            self.places[data.request_id] = place
        elif isinstance(data, Verdict) and data.flagged and data.request_id in self.wanted:
            self.flagged.add((data.request_id, data.detector))
            self.places[f"{data.request_id}/{data.detector}"] = place
        elif isinstance(data, FindingRecord):
            for request_id in self.wanted.intersection(data.evidence):
                self.flagged.add((request_id, data.detector))

    def states(self, retraining_id: str) -> list[RetrainingRecord]:
        """Return the states of a retraining request, oldest first."""
        return sorted(self.retraining.get(retraining_id, ()), key=lambda record: record.at)

    def decisions(self, version: str) -> list[RetrainingRecord]:
        """Return the records with state blessed or refused about `version`, oldest first.

        The gate decides about the request that made the version; an operator's decision (`weir models promote`) has its
        own retraining id. A record of an external trainer may omit the version: then its request decides.
        """
        own = self.models[version].retraining_id
        found = [
            record
            for records in self.retraining.values()
            for record in records
            if record.state in _DECIDED
            and version == (record.model_version or (version if record.retraining_id == own else ""))
        ]
        return sorted(found, key=lambda record: record.at)

    def is_derived(self, version: str) -> bool:
        """Return whether the version was made from its parent without a training: quantised, pruned, or by hand."""
        model = self.models[version]
        return bool(model.parent) and not model.retraining_id and not model.dataset_digest

    def line(self, version: str) -> list[str]:
        """Return `version`, its parent, and so on, up to the first version that was trained.

        If the log has no record of a parent, the line ends before this parent.
        """
        found: list[str] = []
        while version in self.models and version not in found:
            found.append(version)
            if not self.is_derived(version):
                break
            version = self.models[version].parent
        return found

    def state(self, retraining_id: str, *names: str) -> RetrainingRecord | None:
        """Return the newest record of a request with one of these states, or None."""
        found = [record for record in self.states(retraining_id) if record.state in names]
        return found[-1] if found else None
