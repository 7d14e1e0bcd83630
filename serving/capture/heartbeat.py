"""Health of a loop, watched from beside it."""

import threading
import time

__all__ = ["Heartbeat"]

_STALLED_SECONDS = 30.0


class Heartbeat:
    """Says that the loop hangs, from a thread: a loop that hangs cannot say so itself."""

    def __init__(self, health: dict[str, object], *, stalled_seconds: float = _STALLED_SECONDS) -> None:
        self._health = health
        self._stalled_seconds = stalled_seconds
        self._at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Say that the loop runs."""
        self._at = time.monotonic()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._stalled_seconds / 4)):
            silent = time.monotonic() - self._at
            if silent > self._stalled_seconds:
                self._health["shipper"] = (
                    f"its loop has not run for {silent:.0f} s, of {self._stalled_seconds:.0f} at most"
                )
            else:
                self._health.pop("shipper", None)
