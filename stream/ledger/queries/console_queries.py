"""The console's queries for lists and details; each reads one snapshot of the files."""

import sqlite3

import msgspec

from stream.ledger import window_history
from stream.ledger.coverage import HourCount, coverage_hours
from stream.ledger.queries import alert_pages, request_pages
from stream.ledger.queries.alert_pages import AlertChange, AlertPage, AlertQuery, AlertRow, RetrainingPage
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.model_versions import ModelVersion, model_versions
from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.ledger.queries.request_pages import RequestPage, RequestRow
from stream.ledger.queries.request_story import retraining_of
from stream.ledger.queries.reviews import Review, review_count, reviews_of
from stream.ledger.window_history import Series, StreamName, WindowStream
from stream.wire import AlertRecord, RetrainingRecord, side_and_part

_CHANGED_ALERTS = 100
_RATE_SECONDS = 60
_AROUND_SECONDS = 3600.0
#: To count the rows of the table would read all of them. Every topic's name is a prefix and its kind.
_RETRAINING_RECORDS = "SELECT ifnull(sum(next), 0) FROM offsets WHERE topic LIKE '%retraining'"


class AlertStory(msgspec.Struct, frozen=True, kw_only=True):
    """An alert with all related data. `changes` are the alert's records.

    `evidence` are the requests of the alert's evidence that the ledger contains. For an alert of a stream detector,
    `series` contains the windows of its stream before, during and after the alert.
    """

    alert: AlertRecord
    changes: list[AlertChange]
    evidence: list[RequestRow]
    reviews: list[Review] = []
    silenced: bool = False
    retraining: list[RetrainingRecord] = []
    series: Series | None = None


class LiveUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The data with which an open page of the console updates itself.

    `seq` is the number of the newest change of an alert in the file with id `born`. If this id changes, the file was
    rebuilt, and the page must load all data again. `alerts` are the alerts that changed, newest first, at most 100;
    `left_out` is whether more alerts changed. `rate` and `flagged` count requests and flagged verdicts in each of the
    last 60 s. `reviews` is the number of reviews, and `silences` is {id: end} of the active silences. `retraining` is
    the number of records of retraining events that the ledger has read.
    """

    born: str
    seq: int
    alerts: list[AlertRow]
    left_out: bool
    requests: list[RequestRow]
    rate: list[int]
    flagged: list[int]
    firing: dict[str, int]
    reviews: int
    silences: dict[str, float]
    retraining: int


class LedgerPages(LedgerReader):
    """Adds the console's queries; their results are empty if there is no ledger."""

    def requests(self, *, limit: int, before: Cursor = NEWEST, tenant: str = "", flagged: bool = False) -> RequestPage:
        """Return the result of :func:`stream.ledger.queries.request_pages.request_page`."""
        return self._files.query(
            lambda _, shards: request_pages.request_page(
                shards, before=before, limit=limit, tenant=tenant, flagged=flagged
            ),
            RequestPage(requests=[]),
        )

    def first_request(self, tenant: str, model: str) -> float | None:
        """Return the result of :func:`stream.ledger.queries.request_pages.first_request`."""
        return self._files.query(lambda _, shards: request_pages.first_request(shards, tenant, model), None)

    def answers_to_review(self, limit: int) -> list[RequestRow]:
        """Return the result of :func:`stream.ledger.queries.request_pages.answers_to_review`."""
        return self._files.query(lambda _, shards: request_pages.answers_to_review(shards, limit), [])

    def alerts(self, query: AlertQuery, now: float) -> AlertPage:
        """Return the result of :func:`stream.ledger.queries.alert_pages.alert_page`."""
        silences = self.silences()
        return self._files.query(
            lambda decisions, shards: alert_pages.alert_page(decisions, shards, silences, query, now),
            AlertPage(alerts=[]),
        )

    def alert(self, alert_id: str, now: float) -> AlertStory | None:
        """Return an alert with all related data, or None if the ledger has no such alert."""
        silences = self.silences()

        def query(decisions: sqlite3.Connection, shards: list[sqlite3.Connection]) -> AlertStory | None:
            alert = alert_pages.alert_of(decisions, alert_id)
            if alert is None:
                return None
            rows = request_pages.request_rows(shards, alert.evidence)
            return AlertStory(
                alert=alert,
                changes=alert_pages.alert_changes(decisions, alert_id),
                evidence=[rows[name] for name in alert.evidence if name in rows],
                reviews=reviews_of(shards, [alert]).get(alert_id, []),
                silenced=bool(silences.muting(alert, now)),
                retraining=retraining_of(decisions, [alert_id]),
                series=_around(decisions, alert) if alert.limit else None,
            )

        return self._files.query(query, None)

    def streams(self, tenant: str = "") -> list[WindowStream]:
        """Return the result of :func:`stream.ledger.window_history.streams`."""
        return self._files.query(lambda decisions, _: window_history.streams(decisions, tenant), [])

    def series(self, name: StreamName, since: float, until: float) -> Series:
        """Return the result of :func:`stream.ledger.window_history.series`."""
        return self._files.query(lambda decisions, _: window_history.series(decisions, name, since, until), Series())

    def retraining(self, *, limit: int, before: Cursor = NEWEST) -> RetrainingPage:
        """Return the result of :func:`stream.ledger.queries.alert_pages.retraining_page`."""
        return self._files.query(
            lambda decisions, _: alert_pages.retraining_page(decisions, before, limit), RetrainingPage(retraining=[])
        )

    def model_versions(self, limit: int) -> list[ModelVersion]:
        """Return the result of :func:`stream.ledger.queries.model_versions.model_versions`."""
        return self._files.query(lambda decisions, _: model_versions(decisions, limit), [])

    def hours(self) -> list[HourCount]:
        """Return the result of :func:`stream.ledger.coverage.coverage_hours`."""
        return self._files.query(lambda _, shards: coverage_hours(shards), [])

    def live_update(self, *, seq: int, now: float, log_time: float, limit: int) -> LiveUpdate | None:
        """Return the alerts that changed after change number `seq`, and the present counts; None without a ledger."""
        silences = self.silences()

        def query(decisions: sqlite3.Connection, shards: list[sqlite3.Connection]) -> LiveUpdate:
            newest, changed = alert_pages.changed_since(decisions, seq, _CHANGED_ALERTS + 1)
            shown = changed[:_CHANGED_ALERTS]
            rate, flagged = request_pages.traffic(shards, log_time, _RATE_SECONDS)
            reviews = reviews_of(shards, shown)
            return LiveUpdate(
                born=decisions.execute("SELECT value FROM meta WHERE key = 'born'").fetchone()[0],
                seq=newest,
                alerts=[alert_pages.alert_row(alert, silences, reviews, now) for alert in shown],
                left_out=len(changed) > _CHANGED_ALERTS,
                requests=request_pages.request_page(shards, limit=limit).requests,
                rate=rate,
                flagged=flagged,
                firing=alert_pages.firing_counts(decisions),
                reviews=review_count(shards),
                silences={silence.silence_id: silence.until for silence in silences.active(now)},
                retraining=decisions.execute(_RETRAINING_RECORDS).fetchone()[0],
            )

        return self._files.query(query, None)


def _around(decisions: sqlite3.Connection, alert: AlertRecord) -> Series:
    """Return the windows from an hour before an alert opened to an hour after it resolved (or last changed).

    `changed` is from the time of the alert, because another alert of the stream can follow within the hour.
    """
    side = side_and_part(alert.side, alert.part, alert.model_version)
    name = StreamName(tenant=alert.tenant, model=alert.model, side=side, detector=alert.detector)
    until = (alert.resolved_at or alert.at) + _AROUND_SECONDS
    around = window_history.series(decisions, name, alert.opened_at - _AROUND_SECONDS, until)
    own = window_history.series(decisions, name, alert.opened_at, alert.resolved_at or until)
    return msgspec.structs.replace(around, changed=own.changed)
