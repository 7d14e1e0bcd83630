"""What the console asks of the ledger's files: lists and details, one snapshot a question."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from stream.ledger import window_history as windows
from stream.ledger.connect import Databases, retried
from stream.ledger.coverage import PASSED
from stream.ledger.database_files import LedgerFiles
from stream.ledger.queries import alert_pages as alertpages
from stream.ledger.queries import request_pages as requests
from stream.ledger.queries.alert_pages import AlertChange, AlertPage, AlertQuery, AlertRow, RetrainingPage
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.ledger.queries.request_story import led_to
from stream.ledger.queries.reviews import Review, review_count, reviews_of
from stream.wire import AlertRecord, RetrainingRecord

__all__ = ["AlertStory", "HourCount", "LedgerPages", "LiveUpdate"]

_HOUR_SECONDS = 3600
_HOURS = 72
_NEWS = 100
_AROUND_SECONDS = 3600.0
ResultT = TypeVar("ResultT")


class AlertStory(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one alert.

    Parameters
    ----------
    alert
        Its newest record.
    changes
        Its records, oldest first.
    evidence
        The requests that it names, in its order; those that the ledger still has.
    reviews, silences
        What was said of it, and what mutes it now, in words.
    retraining
        Events that it led to.
    series
        The windows of its stream around it, where it is about windows.
    """

    alert: AlertRecord
    changes: list[AlertChange]
    evidence: list[requests.RequestRow]
    reviews: list[Review] = []
    silenced: bool = False
    retraining: list[RetrainingRecord] = []
    series: windows.Series | None = None


class HourCount(msgspec.Struct, frozen=True, kw_only=True):
    """Owed pairs of one hour of event time; `time` is its beginning."""

    time: float
    owed: int
    settled: int
    errors: int
    missing: int = 0


class LiveUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What a page that is open wants to hear of.

    Parameters
    ----------
    born
        Of the file that `seq` counts in; another one means: look at everything anew.
    seq
        Number of the newest change of an alert.
    alerts
        Alerts that changed, newest first; 100 at most, `left_out` where there are more.
    requests
        The newest requests.
    rate, flagged
        Requests and flagged verdicts in each of the last 60 s of log time.
    firing
        {severity: alerts that fire}.
    reviews, silences
        How often an alert was judged, and {silence id: its end} of what holds now: no change of an alert tells of these.
    """

    born: str
    seq: int
    alerts: list[AlertRow]
    left_out: bool
    requests: list[requests.RequestRow]
    rate: list[int]
    flagged: list[int]
    firing: dict[str, int]
    reviews: int
    silences: dict[str, float]


class LedgerPages:
    """Answers lists and details from the ledger's files; where there is no ledger yet, empty ones.

    Parameters
    ----------
    directory
        ``$WEIR_HOME/ledger``.
    """

    def __init__(self, directory: Path) -> None:
        self.reader = LedgerReader(directory)
        self._databases = Databases(LedgerFiles(directory))

    def _ask(
        self, question: Callable[[sqlite3.Connection, list[sqlite3.Connection]], ResultT], empty: ResultT
    ) -> ResultT:
        def ask() -> ResultT:
            with self._databases.decisions() as decisions, self._databases.shards() as shards:
                return question(decisions, shards)

        return retried(ask) if self.reader.exists() else empty

    def requests(
        self, *, limit: int, before: Cursor = NEWEST, tenant: str = "", flagged: bool = False
    ) -> requests.RequestPage:
        """Return a page of requests (:func:`stream.ledger.queries.request_pages.newest`)."""
        return self._ask(
            lambda _, shards: requests.newest(shards, before=before, limit=limit, tenant=tenant, flagged=flagged),
            requests.RequestPage(requests=[]),
        )

    def alerts(self, query: AlertQuery, now: float) -> AlertPage:
        """Return a page of alerts (:func:`stream.ledger.queries.alert_pages.alert_page`)."""
        silences = self.reader.silences()
        return self._ask(
            lambda decisions, shards: alertpages.alert_page(decisions, shards, silences, query, now),
            AlertPage(alerts=[]),
        )

    def alert(self, alert_id: str, now: float) -> AlertStory | None:
        """Return all that is known of an alert, or None."""
        silences = self.reader.silences()

        def question(decisions: sqlite3.Connection, shards: list[sqlite3.Connection]) -> AlertStory | None:
            alert = alertpages.alert_of(decisions, alert_id)
            if alert is None:
                return None
            rows = requests.found(shards, alert.evidence)
            return AlertStory(
                alert=alert,
                changes=alertpages.changes_of(decisions, alert_id),
                evidence=[rows[name] for name in alert.evidence if name in rows],
                reviews=reviews_of(shards, [alert]).get(alert_id, []),
                silenced=bool(silences.muting(alert, now)),
                retraining=led_to(decisions, [alert_id]),
                series=_around(decisions, alert) if alert.limit else None,
            )

        return self._ask(question, None)

    def streams(self, tenant: str = "") -> list[windows.WindowStream]:
        """Return the streams of stream detectors (:func:`stream.ledger.window_history.streams`)."""
        return self._ask(lambda decisions, _: windows.streams(decisions, tenant), [])

    def series(self, name: windows.StreamName, since: float, until: float) -> windows.Series:
        """Return the windows of one stream (:func:`stream.ledger.window_history.series`)."""
        return self._ask(lambda decisions, _: windows.series(decisions, name, since, until), windows.Series())

    def retraining(self, *, limit: int, before: Cursor = NEWEST) -> RetrainingPage:
        """Return a page of retraining events (:func:`stream.ledger.queries.alert_pages.retraining_page`)."""
        return self._ask(
            lambda decisions, _: alertpages.retraining_page(decisions, before, limit), RetrainingPage(retraining=[])
        )

    def hours(self) -> list[HourCount]:
        """Return what was owed and settled in each of the newest 72 hours that had anything, oldest first."""
        return self._ask(lambda _, shards: _hours(shards), [])

    def live_update(self, *, seq: int, now: float, log_time: float, limit: int) -> LiveUpdate | None:
        """Return what changed after change `seq`, and how things stand; None where there is no ledger yet."""
        silences = self.reader.silences()

        def question(decisions: sqlite3.Connection, shards: list[sqlite3.Connection]) -> LiveUpdate:
            newest, changed = alertpages.changed_since(decisions, seq, _NEWS + 1)
            rate, flagged = requests.traffic(shards, log_time, 60)
            reviews = reviews_of(shards, changed[:_NEWS])
            return LiveUpdate(
                born=decisions.execute("SELECT value FROM meta WHERE key = 'born'").fetchone()[0],
                seq=newest,
                alerts=[alertpages.alert_row(one, silences, reviews, now) for one in changed[:_NEWS]],
                left_out=len(changed) > _NEWS,
                requests=requests.newest(shards, limit=limit).requests,
                rate=rate,
                flagged=flagged,
                firing=alertpages.firing_counts(decisions),
                reviews=review_count(shards),
                silences={one.silence_id: one.until for one in silences.active(now)},
            )

        return self._ask(question, None)


def _around(decisions: sqlite3.Connection, alert: AlertRecord) -> windows.Series:
    """Return the windows from an hour before an alert opened to an hour after it resolved, or its newest record."""
    name = windows.StreamName(tenant=alert.tenant, model=alert.model, side=alert.side, detector=alert.detector)
    until = (alert.resolved_at or alert.at) + _AROUND_SECONDS
    return windows.series(decisions, name, alert.opened_at - _AROUND_SECONDS, until)


def _hours(shards: list[sqlite3.Connection]) -> list[HourCount]:
    owed: dict[int, list[int]] = {}
    missing: dict[int, int] = {}
    for database in shards:
        for hour, *counts in database.execute(
            "SELECT hour, sum(owed), sum(settled), sum(errors) FROM pairs GROUP BY 1"
        ):
            owed[hour] = [a + b for a, b in zip(owed.get(hour, [0, 0, 0]), counts, strict=True)]
        query = (
            f"SELECT CAST(u.time / {_HOUR_SECONDS} AS INTEGER), count(*) FROM unsettled u"  # noqa: S608 - our own names
            f" LEFT JOIN sources s ON s.source = u.source WHERE {PASSED} GROUP BY 1"
        )
        for hour, pairs in database.execute(query):
            missing[hour] = missing.get(hour, 0) + pairs
    return [
        HourCount(
            time=float(hour * _HOUR_SECONDS),
            owed=owed[hour][0],
            settled=owed[hour][1],
            errors=owed[hour][2],
            missing=missing.get(hour, 0),
        )
        for hour in sorted(owed)[-_HOURS:]
    ]
