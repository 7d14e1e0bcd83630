"""The causal chain of a model version: requests, verdicts, alerts, retraining request, dataset, training, gate, route.

An edge is broken if the record that it needs is not in the log, or disagrees with the record at its other end.
"""

import msgspec

from stream.loop.lineage.facts import DatasetFacts, Facts, Place, route_name
from stream.wire import AlertRecord, ModelRecord, RetrainingRecord, RouteRecord, canonical_time
from stream.wire.route_files import BASE

#: The check of each kind of edge.
_CHECKS: dict[str, str] = {
    "evidence": "Kafka has the request, and a verdict or a finding of the alert's detector about it",
    "agreed": "Kafka has the alert, and the alert opened before the request",
    "requested": "Kafka has the request",
    "approved": "Kafka has the approval",
    "pinned": "Kafka has the request, which names the offsets of the dataset",
    "row": "Kafka has the request of the row",
    "used": "the digest in Kafka is the digest of the rows on this machine, if they are there",
    "trained": "Kafka has the end of the training, which names this version",
    "derived": "Kafka has the parent of the version",
    "evaluated": "Kafka has the gate's decision about this version",
    "started": "Kafka has an operator's decision about this version, without the gate",
    "routed": "delivery routed requests only to a version that the gate or an operator let pass",
}
#: States that end a training; a team's own trainer can publish only the second or both.
_TRAINED = ("trained", "completed")
_PINNING = ("requested", "approved")
#: States of a request for which delivery publishes a route.
ROUTED_STATES = ("shadow", "canary", "promoted", "rolled_back", "expired")
_DELIVERY = "delivery"


class Node(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of a chain; `at` is its event time in seconds since the epoch, and `place` the position of its record in the log."""

    kind: str
    id: str
    at: float = 0.0
    place: str = ""
    facts: dict[str, str | float] = {}


class Edge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A link from the node id `cause` to the node id `effect`; `check` names the check, and `broken` is the fault or ""."""

    cause: str
    effect: str
    kind: str
    check: str
    broken: str = ""


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of `version`, from its first cause to its newest route."""

    version: str
    tenant: str
    model: str
    nodes: list[Node]
    edges: list[Edge]

    @property
    def broken(self) -> list[Edge]:
        """The broken edges."""
        return [edge for edge in self.edges if edge.broken]


def wanted_requests(facts: Facts, version: str, dataset: DatasetFacts | None) -> frozenset[str]:
    """Return the ids of the requests that the chain of `version` needs: evidence of its alerts, and rows of its dataset."""
    model = facts.models[facts.line(version)[-1]] if version in facts.models else None
    requested = None if model is None else facts.state(model.retraining_id, "requested")
    alerts = () if requested is None else requested.alert_ids
    evidence = {request for alert in alerts if alert in facts.alerts for request in facts.alerts[alert].evidence}
    return frozenset(evidence) | (frozenset() if dataset is None else dataset.request_ids)


def chain_of(facts: Facts, version: str, dataset: DatasetFacts | None = None) -> Chain | None:
    """Return the chain of `version` and of the versions that it was derived from, or None if the log does not have it.

    `dataset` is None if it is not on this machine.
    """
    model = facts.models.get(version)
    if model is None:
        return None
    builder = _Builder(facts)
    line = facts.line(version)
    for member in line:
        builder.model(member)
    if not facts.is_derived(line[-1]):
        builder.training(line[-1])
        builder.dataset(line[-1], dataset)
        builder.request(facts.models[line[-1]].retraining_id)
    builder.decisions(version)
    return Chain(
        version=version, tenant=model.tenant, model=model.model, nodes=list(builder.nodes.values()), edges=builder.edges
    )


class _Builder:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []

    def node(self, kind: str, identity: str, at: float, place: Place | None = None, /, **facts: str | float) -> str:
        place = place or self._facts.places.get(identity)
        known = {name: value for name, value in facts.items() if value not in ("", None)}
        self.nodes[identity] = Node(kind=kind, id=identity, at=at, place=str(place or ""), facts=known)
        return identity

    def edge(self, cause: str, effect: str, kind: str, broken: str = "") -> None:
        self.edges.append(Edge(cause=cause, effect=effect, kind=kind, check=_CHECKS[kind], broken=broken))

    def state(self, record: RetrainingRecord) -> str:
        identity = f"{record.retraining_id}/{record.state}"
        # `numbers` have any names if the training is not Weir's own.
        facts: dict[str, str | float] = {**record.numbers, "reason": record.reason, "by": record.by}
        return self.node(record.state, identity, record.at, **facts)

    def model(self, version: str) -> None:
        """Add a version, and the edge from its parent if it was derived from it."""
        model = self._facts.models[version]
        self.node("model", version, model.at, method=model.method, parent=model.parent, adapter=model.adapter_digest)
        if not self._facts.is_derived(version):
            return
        if model.parent == BASE:
            self.node("model", BASE, 0.0, digest=model.base_digest)
        missing = "" if model.parent in (BASE, *self._facts.models) else f"Kafka has no version {model.parent}"
        self.edge(model.parent, version, "derived", missing)

    def training(self, version: str) -> None:
        """Add the record of the training, with the edge to the version."""
        model = self._facts.models[version]
        if not model.retraining_id and model.dataset_digest:  # `weir train` has no request
            return
        trained = self._facts.state(model.retraining_id, *_TRAINED)
        if trained is None:
            missing = f"Kafka has no state trained of {model.retraining_id or 'this version'}"
            self.edge(model.retraining_id, version, "trained", missing)
            return
        wrong = "" if trained.model_version in ("", version) else f"the training made {trained.model_version}"
        self.edge(self.state(trained), version, "trained", wrong)

    def dataset(self, version: str, dataset: DatasetFacts | None) -> None:
        """Add the dataset with the edges to it from each of its requests, and from it to the training."""
        facts, model = self._facts, self._facts.models[version]
        record = facts.state(model.retraining_id, "dataset")
        digest = model.dataset_digest
        if not digest:
            return
        self.node("dataset", digest, record.at if record else 0.0, rows=len(dataset.request_ids) if dataset else "")
        broken = ""
        if record is None and model.retraining_id:
            broken = f"Kafka has no state dataset of {model.retraining_id}"
        elif record is not None and record.dataset_digest != digest:
            broken = f"the request's dataset is {record.dataset_digest}"
        elif dataset is not None and dataset.digest != digest:
            broken = f"the rows on disk have the digest {dataset.digest}"
        trained = facts.state(model.retraining_id, *_TRAINED)
        training = f"{model.retraining_id}/{trained.state if trained else _TRAINED[0]}"
        self.edge(digest, training if model.retraining_id else version, "used", broken)
        requested = facts.state(model.retraining_id, "requested")
        if requested is not None:
            self.edge(
                f"{model.retraining_id}/requested", digest, "pinned", self._unpinned(model.retraining_id, dataset)
            )
        for request_id in sorted(dataset.request_ids) if dataset else ():
            self.node("request", request_id, 0.0)
            self.edge(request_id, digest, "row", self._missing_request(request_id))

    def _unpinned(self, retraining_id: str, dataset: DatasetFacts | None) -> str:
        """Return which offsets of the dataset neither the request nor an approval pinned, or ""."""
        if dataset is None or dataset.retraining_id != retraining_id:
            return ""
        records = [one for one in self._facts.states(retraining_id) if one.state in _PINNING]
        pins = [pin for one in records for pin in (one.data, *one.pins) if pin is not None]
        topics = {pin.topic for pin in pins}
        wrong = [item.topic for item in dataset.ranges if item.topic in topics and item not in pins]
        return f"no request or approval has the dataset's offsets of {wrong[0]}" if wrong else ""

    def request(self, retraining_id: str) -> None:
        """Add the retraining request with its alerts and their evidence, and its approval."""
        requested = self._facts.state(retraining_id, "requested")
        if requested is None:
            if retraining_id:
                self.edge("", f"{retraining_id}/requested", "requested", "Kafka has no request with this id")
            return
        target = self.state(requested)
        approved = self._facts.state(retraining_id, "approved")
        if approved is not None:
            self.edge(target, self.state(approved), "approved")
        for alert_id in requested.alert_ids:
            alert = self._facts.alerts.get(alert_id)
            if alert is None:
                self.edge(alert_id, target, "agreed", f"Kafka has no alert {alert_id}")
                continue
            late = f"the alert opened after the request, at {alert.opened_at}" if alert.opened_at > requested.at else ""
            self.node("alert", alert_id, alert.opened_at, detector=alert.detector, summary=alert.summary)
            self.edge(alert_id, target, "agreed", late)
            self._evidence(alert)

    def _evidence(self, alert: AlertRecord) -> None:
        for request_id in alert.evidence:
            self.node("request", request_id, 0.0)
            broken = self._missing_request(request_id)
            if not broken and (request_id, alert.detector) not in self._facts.flagged:
                broken = f"Kafka has no verdict or finding of {alert.detector} about {request_id}"
            self.edge(request_id, alert.alert_id, "evidence", broken)

    def _missing_request(self, request_id: str) -> str:
        return "" if request_id in self._facts.requests else f"Kafka has no request {request_id}"

    def decisions(self, version: str) -> None:
        """Add the decisions of the gate and of operators, and every route that names the version or took it back."""
        facts, own = self._facts, self._facts.models[version].retraining_id
        decided = facts.decisions(version)
        for one in decided:
            self.edge(version, self.state(one), "evaluated" if one.retraining_id == own else "started")
        for route in facts.routes:
            named = version in {route.champion, route.challenger, *route.weights}
            if not named and all(one.retraining_id != route.retraining_id for one in decided):
                continue
            identity = f"route {route.epoch}"
            percent = route.weights.get(version, 0)
            place = facts.places.get(route_name(route))  # another tenant's route has the same epoch
            self.node("route", identity, route.at, place, percent=float(percent), reason=route.reason, by=route.by)
            # A route has the canonical time of the decision that it follows.
            before = [one for one in decided if canonical_time(one.at) <= canonical_time(route.at)]
            own_decision = [one for one in before if one.retraining_id == route.retraining_id]
            decision = next(reversed(own_decision or before), None)
            broken = ""
            chosen = version == route.challenger or self._promoted(version, route)
            undecided = decision is None or decision.state == "refused"
            if route.by == _DELIVERY and percent > 0 and chosen and undecided:
                broken = "no gate decision" if decision is None else "the gate refused this version"
            self.edge(
                version if decision is None else self.state(decision),
                identity,
                "routed",
                broken or self._unannounced(route),
            )
        self._missing_routes(facts.models[version])

    def _promoted(self, version: str, route: RouteRecord) -> bool:
        """Return whether delivery promoted `version`; else an operator did, and delivery only keeps the champion."""
        own = self._facts.models[version].retraining_id
        states = [*self._facts.states(own), *self._facts.states(route.retraining_id)]
        return any((one.state, one.by, one.model_version) == ("promoted", _DELIVERY, version) for one in states)

    def _unannounced(self, route: RouteRecord) -> str:
        """Return what is missing if delivery made the route without a state of its request, or ""."""
        announced = {_epoch(record) for record in self._facts.states(route.retraining_id)}
        if route.by != _DELIVERY or route.epoch in announced:
            return ""
        return f"Kafka has no state of {route.retraining_id} with epoch {route.epoch}"

    def _missing_routes(self, model: ModelRecord) -> None:
        """Add a broken edge if the newest state that delivery published has neither its route nor a later one.

        Compaction keeps only the newest route of a model, so earlier routes can be missing.
        """
        routed = [record for record in self._facts.states(model.retraining_id) if _epoch(record)]
        of_model = [route for route in self._facts.routes if (route.tenant, route.model) == (model.tenant, model.model)]
        newest = max((route.epoch for route in of_model), default=0)
        if routed and _epoch(routed[-1]) > newest:
            epoch = _epoch(routed[-1])
            missing = f"Kafka has no route of epoch {epoch} or later"
            self.edge(self.state(routed[-1]), f"route {epoch}", "routed", missing)


def _epoch(record: RetrainingRecord) -> int:
    """Return the epoch of the route that delivery made with this state, or 0."""
    return int(record.numbers.get("epoch", 0)) if record.state in ROUTED_STATES else 0
