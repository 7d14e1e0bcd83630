"""The metrics of a serving process on a port that others can reach, beside the loopback port of its own.

Why this exists: where Ray starts gateways and replicas in containers of their own (KubeRay), nobody can ask a loopback port, and a scraper
wants a number that it knows. When a replica is exchanged, the new one starts before the old one has left: it takes the port when that is free.
"""

import logging
import threading

from prometheus_client import CollectorRegistry

from stream.telemetry import MetricsServer

__all__ = ["OpenPort"]

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class OpenPort:
    """Shows `registry` at `host` and `port` from when the port is free until :meth:`stop`; of several processes one has it.

    Parameters
    ----------
    registry
        What is shown.
    host, port
        Where; port 0 shows nothing.
    """

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._registry = registry
        self._where = (host, port)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="open-metrics", daemon=True)
        if port:
            self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        host, port = self._where
        said = None
        while not self._stopped.is_set():
            try:
                server = MetricsServer(self._registry, port, host=host).start()
            except OSError as error:
                if error.errno != said:  # another process may have the port for as long as this one lives
                    _LOG.info("metrics wait for %s:%d (%s)", host, port, error.strerror)
                said = error.errno
                self._stopped.wait(_RETRY_SECONDS)
                continue
            self._stopped.wait()
            server.stop()
