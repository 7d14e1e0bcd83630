"""Decide from health checks whether a component hangs, without I/O or a clock: the time is an argument."""

import msgspec

from weir.local.health.health_probe import Health

#: A process that does not answer, or reports that it is stuck, is restarted after this time.
HANG_SECONDS = 25.0
#: A process that reports another problem than waiting may recover, so it is restarted after this longer time.
UNHEALTHY_SECONDS = 180.0
#: Minimum number of failed checks before a restart, so that a suspended machine does not count as a hung process.
_MIN_FAILURES = 5


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Whether to restart the component; `message` is a line to log, or "" if there is nothing new to log."""

    restart: bool = False
    message: str = ""


class HangDetector:
    """Health history of one component; a process that was never healthy is not restarted in its first `ready_seconds`."""

    def __init__(self, *, ready_seconds: float) -> None:
        self._ready_seconds = ready_seconds
        self._pid = 0
        self._first_seen = 0.0
        self._was_healthy = False
        self._failing_since: float | None = None
        self._failures = 0
        self._reported = False
        self.restarting = False

    def update(self, health: Health, *, pid: int, now: float) -> Decision:
        """Add the health of process `pid` at time `now`, in seconds of a monotonic clock; a new pid clears the history.

        A process starts at its first update: its start time by the wall clock would make it old or young when the clock is corrected.
        """
        if pid != self._pid:
            self._pid, self._first_seen, self._was_healthy, self.restarting = pid, now, False, False
            self._clear()
        if health.ok:
            return self._healthy()
        if self.restarting or (not self._was_healthy and now - self._first_seen < self._ready_seconds):
            return Decision()
        return self._unhealthy(health, now)

    def _healthy(self) -> Decision:
        message = "is healthy again" if self._reported else ""
        self._was_healthy = True
        self._clear()
        return Decision(message=message)

    def _unhealthy(self, health: Health, now: float) -> Decision:
        if self._failing_since is None:
            self._failing_since = now
        self._failures += 1
        enough = self._failures >= _MIN_FAILURES
        message = f"is not healthy: {health.detail}" if enough and not self._reported else ""
        self._reported = self._reported or enough
        limit = HANG_SECONDS if health.hung else UNHEALTHY_SECONDS
        restart = enough and now - self._failing_since >= limit and not health.waiting
        return Decision(restart=restart, message=message)

    def _clear(self) -> None:
        self._failing_since, self._failures, self._reported = None, 0, False
