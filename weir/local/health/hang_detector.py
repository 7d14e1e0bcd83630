"""Decide from a row of health answers whether a component hangs; pure, the clock is an argument."""

import msgspec

from weir.local.health.health_probe import Health

__all__ = ["HANG_SECONDS", "SICK_SECONDS", "Judge", "Verdict"]

#: A process that does not answer, or says that it is stuck, for so long is restarted.
HANG_SECONDS = 25.0
#: One that answers, and says that it is not well (and not merely waiting), gets longer: it may mend itself.
SICK_SECONDS = 180.0
#: So many answers at least, so that a machine that was suspended does not count as a hung process.
_ANSWERS = 5


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What to do, and what to tell; `news` is empty while nothing changes."""

    restart: bool = False
    news: str = ""


class Judge:
    """The history of one component.

    Parameters
    ----------
    ready_seconds
        How long a start may take; silence before the first good answer is forgiven so long.
    """

    def __init__(self, *, ready_seconds: float) -> None:
        self._ready_seconds = ready_seconds
        self._pid = 0
        self._was_well = False
        self._bad_since: float | None = None
        self._bad = 0
        self._told = False
        self.restarting = False

    def see(self, health: Health, *, pid: int, now: float, age: float) -> Verdict:
        """Take one answer.

        Parameters
        ----------
        health
            The answer.
        pid
            Of the process that was asked; another one starts a new history.
        now
            Monotonic seconds.
        age
            Seconds since this process was started.
        """
        if pid != self._pid:
            self._pid, self._was_well, self.restarting = pid, False, False
            self._forget()
        if health.ok:
            return self._well()
        if self.restarting or (not self._was_well and age < self._ready_seconds):
            return Verdict()
        return self._ill(health, now)

    def _well(self) -> Verdict:
        news = "is healthy again" if self._told else ""
        self._was_well = True
        self._forget()
        return Verdict(news=news)

    def _ill(self, health: Health, now: float) -> Verdict:
        if self._bad_since is None:
            self._bad_since = now
        self._bad += 1
        for_seconds = now - self._bad_since
        news = "" if self._told or self._bad < _ANSWERS else f"is not healthy: {health.detail}"
        self._told = self._told or bool(news)
        limit = HANG_SECONDS if health.hung else SICK_SECONDS
        restart = self._bad >= _ANSWERS and for_seconds >= limit and not health.waiting
        return Verdict(restart=restart, news=news)

    def _forget(self) -> None:
        self._bad_since, self._bad, self._told = None, 0, False
