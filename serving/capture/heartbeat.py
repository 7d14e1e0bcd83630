"""A thread that checks whether the shipper's event loop runs."""

import threading
import time

__all__ = ["Heartbeat"]

_STALLED_SECONDS = 30.0
_CHECK_SECONDS = 1.0


class Heartbeat:
    """Adds a reason to `health` while the shipper's event loop hangs; the check runs in a thread, which a hanging loop does not block."""

    def __init__(self, health: dict[str, object]) -> None:
        self._health = health
        self._at = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Record that the loop runs; the loop calls this at least once per second."""
        self._at = time.monotonic()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_CHECK_SECONDS):
            idle = time.monotonic() - self._at
            if idle > _STALLED_SECONDS:
                self._health["shipper"] = (
                    f"its loop has not run for {idle:.0f} s, the limit is {_STALLED_SECONDS:.0f} s"
                )
            else:
                self._health.pop("shipper", None)
