"""A circuit breaker: requests to a server that fails repeatedly are rejected at once."""

import math
import time
from collections.abc import Callable

_FAILURES = 5
_OPEN_SECONDS = 5.0


class CircuitBreaker:
    """The state of one server.

    After `failures` failures in a row, the circuit is open for `open_seconds`. Then one request is sent as a probe: its success
    closes the circuit, and its failure opens the circuit again. While no probe has ended, another one is sent every `open_seconds`.
    """

    def __init__(
        self,
        failures: int = _FAILURES,
        open_seconds: float = _OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._failures = 0
        self._probe_at: float | None = None
        self._succeeded_at = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether requests are rejected, or only probes are sent."""
        return self._probe_at is not None

    def seconds_to_wait(self) -> float:
        """Return 0 if the caller may send a request now, else the seconds until the next probe.

        After a 0, the caller must call `answered`, `succeeded`, `failed` or `abandoned`. If the circuit is open then, the request is the probe.
        """
        if self._probe_at is None:
            return 0.0
        now = self._clock()
        if self._probe_at > now:
            return self._probe_at - now
        self._probe_at = now + self._open_seconds  # a slow answer to this probe must not reject all other requests
        return 0.0

    def answered(self) -> None:
        """Close the circuit, but do not forget the failures: a response has begun, and may still fail."""
        self._probe_at = None

    def succeeded(self) -> None:
        """Close the circuit and forget the failures: the response is complete."""
        self._failures = 0
        self._succeeded_at = self._clock()
        self.answered()

    def failed(self, waited: float = 0.0) -> None:
        """Count a failure; open the circuit if there were too many in a row, as at the failure of a probe.

        A request that timed out has received nothing for `waited` seconds. If another response was complete in this time, the server works and only
        this request is slow. Such a timeout does not count, so that the slow requests of one client do not reject those of all others.
        """
        now = self._clock()
        if now - self._succeeded_at < waited:
            return
        self._failures += 1
        if self._failures >= self._limit:
            self._probe_at = now + self._open_seconds

    def abandoned(self, *, probe: bool = False) -> None:
        """Allow another probe if the request was a probe: it ended before the server answered or failed."""
        if probe and self.is_open:
            self._probe_at = self._clock()
