"""Delivery without Kafka: decides which version of one (tenant, model) answers.

none -> shadow -> canary, step by step -> promoted, or at any time rolled_back or expired. Each verdict on the first answer of a
conversation, by the challenger or by the concurrent champion, updates a sequential test of its detector (stream/loop/sequential.py),
whose evidence is valid after every event. `FAILURE` is treated as one more detector, which flags failed requests and empty answers:

- evidence of harm at ``rollback_alpha``, divided by the number of detectors that decide: roll back at once;
- ``min_events`` verdicts in a step and no evidence of harm at ``alpha``: the next step;
- before the last step, evidence that every detector's rate is within the margin (at ``alpha``): promote, else hold;
- ``hold_seconds`` in one step: expire, and the champion answers all requests.

All times are event times, so the same inputs in the same order give the same decisions. The time of a decision is never before the time of the
previous decision, even if a verdict is late or the clock of the trainer is ahead.
"""

from collections.abc import Sequence

from detectors.registry import TEXT
from stream.count_text import count_text
from stream.loop.delivery.records import Decision
from stream.loop.delivery.state import SHADOW, Canary, HeldVerdict, ModelDelivery
from stream.loop.sequential import TwoSampleTest
from stream.loop.settings import DeliverySettings
from stream.remember import append, remember
from stream.score_text import percent_text
from stream.wire import RetrainingRecord, RouteRecord, canonical_time, trained_version
from stream.wire.ids import shadow_request_id
from stream.wire.route_files import BASE, RouteOverride, previous_version

#: Detectors that decide about every canary, if the tenant's answers have their verdicts.
ALWAYS_COMPARED = ("refusal", "repetition")
#: The name under which failed requests and empty answers are compared.
FAILURE = "failure"
_DELIVERY = "delivery"
#: After these states, a version of the request is not delivered: the ends of a delivery, and a rejection, which can cross the gate's decision.
_FINAL = frozenset({"rolled_back", "expired", "promoted", "rejected"})
#: These states end a delivery. A request that failed before its delivery can be resumed (`weir retraining resume`).
_ENDS = _FINAL | {"failed"}
_ENDED, _LATEST, _CONVERSATIONS, _REQUESTS = 64, 2048, 16_384, 64
_ALL = 100


class Delivery:
    """Changes the state of one (tenant, model) under the settings of its tenant; methods return the new routes, in order."""

    def __init__(self, state: ModelDelivery, settings: DeliverySettings) -> None:
        self._state = state
        self._settings = settings

    def progress(self, record: RetrainingRecord, at: float, traceparent: str = "") -> list[Decision]:
        """Apply a retraining record at event time `at`: a blessed version starts, a failed request ends.

        A blessed version that is the champion is promoted immediately. `traceparent` is the trace context in which the record was created.
        """
        state = self._state
        if record.state == "requested" and record.detectors:
            remember(state.detectors, record.retraining_id, record.detectors, _REQUESTS)
        if self._is_of_former_owner(record):
            return []
        canary = state.canary
        own = canary is not None and canary.retraining_id == record.retraining_id
        if own and record.state in _ENDS:  # of an operator, or of this process before a crash: the log decides
            return [self._ended_elsewhere(record, at)]
        if record.state == "promoted" and record.model_version:
            remember(state.promoted, record.model_version, (record.retraining_id, traceparent), _ENDED)
        if record.state in _FINAL and record.retraining_id not in state.ended:
            append(state.ended, record.retraining_id, _ENDED)
        if record.state != "blessed" or own or record.retraining_id in state.ended:
            return []
        if not trained_version(record.model_version):
            return []
        before = [] if canary is None else [self._end("expired", at, f"superseded by {record.model_version}")]
        return [*before, *self._start(record, at, traceparent)]

    def _is_of_former_owner(self, record: RetrainingRecord) -> bool:
        """Return whether another trainer owned the request before this record. A record without an epoch has no owner."""
        if not record.epoch:
            return False
        epochs = self._state.epochs
        newest = max(record.epoch, epochs.get(record.retraining_id, 0))
        remember(epochs, record.retraining_id, newest, _REQUESTS)
        return record.epoch < newest

    def _ended_elsewhere(self, record: RetrainingRecord, at: float) -> Decision:
        by = record.by or _DELIVERY
        if record.state == "promoted":
            return self._promote(at, record.reason, by=by)
        name = "rolled_back" if record.state in {"failed", "rejected"} else record.state
        return self._end(name, at, record.reason, by=by)

    def _start(self, record: RetrainingRecord, at: float, traceparent: str) -> list[Decision]:
        self._state.canary = Canary(
            retraining_id=record.retraining_id,
            version=record.model_version,
            detectors=self._detectors(record.retraining_id, record.detectors),
            step=SHADOW,
            since=at,
            traceparent=traceparent,
        )
        if record.model_version == self._state.champion:  # the training of two requests can make the same weights
            return [self._promote(at, f"{record.model_version} answers already")]
        if self._settings.shadow_share:
            return [
                self._route(
                    "shadow", at, f"blessed; {percent_text(self._settings.shadow_share)} of the requests in shadow"
                )
            ]
        return [self._enter(0, at, "blessed")]

    def _detectors(self, retraining_id: str, alarmed: tuple[str, ...] = ()) -> tuple[str, ...]:
        alarmed = alarmed or self._state.detectors.get(retraining_id, ())
        return tuple(sorted({FAILURE, *({*alarmed, *ALWAYS_COMPARED} & TEXT.keys())}))

    def verdict(self, verdict: HeldVerdict) -> list[Decision]:
        """Apply a verdict on an answer of either version; duplicates have no effect.

        Verdicts come in the order (time, id), so a verdict before the newest forgotten one is a duplicate, or late; it has no effect.
        """
        canary = self._state.canary
        if canary is None or verdict.detector not in canary.detectors or verdict.id in canary.latest:
            return []
        is_challenger = verdict.version == canary.version
        is_champion = (trained_version(verdict.version) or BASE) == self._state.champion
        if (verdict.time, verdict.id) <= canary.forgotten or not (is_challenger or is_champion):
            return []
        canary.latest[verdict.id] = verdict.time
        if len(canary.latest) > _LATEST:
            oldest = next(iter(canary.latest))
            canary.forgotten = max(canary.forgotten, (canary.latest.pop(oldest), oldest))
        if not self._counts(canary, verdict):
            return []
        test = canary.tests.get(verdict.detector)
        if test is None:  # also for an error: a detector that read no answer is no evidence, so nothing is promoted
            alpha = self._settings.rollback_alpha / len(canary.detectors)
            test = canary.tests[verdict.detector] = TwoSampleTest(margin=self._settings.margin, alpha=alpha)
        if verdict.is_error:
            return []
        test.update("challenger" if is_challenger else "champion", verdict.flagged)
        if test.e_harm >= 1 / test.alpha:
            return [self._end("rolled_back", verdict.time, _harm(verdict.detector, test))]
        if is_challenger and verdict.detector != FAILURE:
            canary.counts[verdict.detector] = canary.counts.get(verdict.detector, 0) + 1
        return self._advanced(canary, verdict.time)

    def _counts(self, canary: Canary, verdict: HeldVerdict) -> bool:
        """Return whether the answer is the first of its conversation, or the challenger's copy of the first answer.

        Answers of one conversation depend on each other, and later answers have other rates of flagged answers.
        """
        first = canary.first_answers.get(verdict.conversation, verdict.request_id)
        remember(canary.first_answers, verdict.conversation, first, _CONVERSATIONS)
        return verdict.request_id in {first, shadow_request_id(first, canary.version)}

    def _advanced(self, canary: Canary, at: float) -> list[Decision]:
        """Return the next step if the evidence suffices."""
        settings = self._settings
        if max(canary.counts.values(), default=0) < settings.min_events:
            return []
        tests = canary.tests.values()
        if any(test.e_harm >= len(canary.detectors) / settings.alpha for test in tests):
            return []
        following = min(canary.step + 1, len(settings.steps) - 1)  # the settings can have fewer steps than before
        if settings.steps[following] == _ALL and any(test.e_safe < 1 / settings.alpha for test in tests):
            return []
        return [
            self._enter(
                following,
                max(at, canary.since),
                f"{count_text(max(canary.counts.values()), 'verdict')} without evidence of harm",
            )
        ]

    def clock(self, at: float) -> list[Decision]:
        """Advance to event time `at`; later verdicts are not older. A canary without a decision expires."""
        canary = self._state.canary
        if canary is None or at < canary.since + self._settings.hold_seconds:
            return []
        return [self._end("expired", at, f"no decision after {at - canary.since:.0f} s in one step")]

    def override(self, override: RouteOverride, at: float) -> list[Decision]:
        """Apply an operator's decision at event time `at`; return no route if the route does not change.

        A request that was promoted before also gets a new state if its version no longer answers, or answers again.
        """
        state, canary = self._state, self._state.canary
        if canary is not None and canary.version == override.version:
            return [self._promote(at, override.reason, by=override.by)]
        answered = override.version == state.champion
        if canary is None and answered:
            return []
        taken_back = state.champion if override.version in {BASE, state.previous} else ""
        name, version = ("rolled_back", taken_back) if taken_back else ("promoted", override.version)
        retraining_id, traceparent = state.promoted.get(version, ("", ""))
        ended: list[Decision] = []
        if canary is not None and retraining_id and not answered:
            # This route keeps the champion, so that the override applies again if delivery dies before the next route.
            ended = [self._end("rolled_back", at, override.reason, by=override.by)]
        if not answered:
            state.previous = previous_version(state.route, override.version)
            state.champion = override.version
        if state.canary is not None:
            return [self._end("rolled_back", at, override.reason, by=override.by)]
        at = max([at, *(one.route.at for one in ended)])
        route = self._next(at, override.reason, by=override.by, retraining_id=retraining_id)
        progress = _progress(name, version, route, {}) if retraining_id else None
        return [*ended, Decision(route=route, progress=progress, traceparent=traceparent)]

    def removed(self, version: str, at: float) -> list[Decision]:
        """Apply the removal of a version's files."""
        canary = self._state.canary
        if canary is None or canary.version != version:
            return []
        return [self._end("expired", at, f"the files of {version} were removed")]

    def adopt(self, route: RouteRecord, traceparent: str = "") -> None:
        """Continue from a published route with a newer epoch: the log decides. Its evidence is collected again.

        `traceparent` is the trace context in which the route was published.
        """
        state = self._state
        if route.epoch <= state.epoch:
            return
        known = state.canary
        if known is not None and known.retraining_id != route.retraining_id:
            append(state.ended, known.retraining_id, _ENDED)
        state.epoch, state.champion, state.previous = route.epoch, route.champion, route.previous or BASE
        state.canary, state.route = None, route
        if not route.challenger:
            append(state.ended, route.retraining_id, _ENDED)
            return
        detectors = known.detectors if known is not None and known.version == route.challenger else ()
        state.canary = Canary(
            retraining_id=route.retraining_id,
            version=route.challenger,
            detectors=detectors or self._detectors(route.retraining_id),
            step=_step_of(route, self._settings.steps),
            since=route.at,
            traceparent=traceparent,
        )

    def _enter(self, step: int, at: float, reason: str) -> Decision:
        if self._settings.steps[step] == _ALL:
            return self._promote(at, reason)
        canary = self._state.canary
        assert canary is not None
        canary.step, canary.since, canary.counts = step, at, {}
        return self._route("canary", at, reason)

    def _promote(self, at: float, reason: str, *, by: str = _DELIVERY) -> Decision:
        state = self._state
        assert state.canary is not None
        if state.canary.version != state.champion:
            state.previous, state.champion = state.champion, state.canary.version
        remember(state.promoted, state.champion, (state.canary.retraining_id, state.canary.traceparent), _ENDED)
        return self._end("promoted", at, reason, by=by)

    def _end(self, name: str, at: float, reason: str, *, by: str = _DELIVERY) -> Decision:
        decided = self._state.canary
        assert decided is not None
        append(self._state.ended, decided.retraining_id, _ENDED)
        self._state.canary = None
        at = max(at, decided.since)
        return self._decision(name, decided, self._next(at, reason, by=by, retraining_id=decided.retraining_id))

    def _route(self, name: str, at: float, reason: str) -> Decision:
        canary = self._state.canary
        assert canary is not None
        return self._decision(name, canary, self._next(at, reason, retraining_id=canary.retraining_id))

    def _next(self, at: float, reason: str, *, by: str = _DELIVERY, retraining_id: str = "") -> RouteRecord:
        state, canary = self._state, self._state.canary
        state.epoch += 1
        percent = 0 if canary is None or canary.step == SHADOW else self._settings.steps[canary.step]
        weights = {state.champion: _ALL - percent}
        if canary is not None and percent:
            weights[canary.version] = percent
        state.route = RouteRecord(
            tenant=state.tenant,
            model=state.model,
            epoch=state.epoch,
            at=canonical_time(at),
            champion=state.champion,
            previous=state.previous,
            challenger=canary.version if canary is not None else "",
            weights=weights,
            shadow=self._settings.shadow_share if canary is not None and canary.step == SHADOW else 0.0,
            retraining_id=retraining_id,
            reason=reason,
            by=by,
        )
        return state.route

    def _decision(self, name: str, canary: Canary, route: RouteRecord) -> Decision:
        numbers: dict[str, float] = {}
        for detector, test in sorted(canary.tests.items()):
            numbers |= {f"{detector}.{key}": value for key, value in _numbers(test).items()}
        progress = _progress(name, canary.version, route, numbers)
        return Decision(route=route, progress=progress, traceparent=canary.traceparent)


def _progress(name: str, version: str, route: RouteRecord, numbers: dict[str, float]) -> RetrainingRecord:
    """Return the state `name` of the request of `route`, whose version is `version`."""
    return RetrainingRecord(
        retraining_id=route.retraining_id,
        state=name,
        reason=route.reason,
        tenant=route.tenant,
        model=route.model,
        at=route.at,
        model_version=version,
        numbers={"percent": float(route.weights.get(version, 0)), "epoch": float(route.epoch)} | numbers,
        by=route.by,
    )


def _step_of(route: RouteRecord, steps: Sequence[int]) -> int:
    percent = route.weights.get(route.challenger, 0)
    return max((number for number, step in enumerate(steps) if step <= percent), default=SHADOW)


def _totals(test: TwoSampleTest) -> tuple[int, int, int, int]:
    """Return the events and flagged events of the champion and of the challenger, those of an open block included."""
    pairs = [
        (sum(counts.events for counts in arm), sum(counts.flagged for counts in arm))
        for arm in zip((test.champion, test.challenger), test.block, test.surplus, strict=True)
    ]
    return (*pairs[0], *pairs[1])


def _numbers(test: TwoSampleTest) -> dict[str, float]:
    names = ("champion_events", "champion_flagged", "events", "flagged")
    counts = {name: float(value) for name, value in zip(names, _totals(test), strict=True)}
    return counts | {"e_harm": round(test.e_harm, 3), "e_safe": round(test.e_safe, 3)}


def _harm(detector: str, test: TwoSampleTest) -> str:
    champion, champion_flagged, events, flagged = _totals(test)
    found = "failed or empty" if detector == FAILURE else "flagged"
    return (
        f"{detector}: {flagged} of {events} answers of the challenger are {found}, {champion_flagged} of {champion} of the"
        f" champion; e-value {test.e_harm:,.0f}, limit {1 / test.alpha:,.0f}"
    )
