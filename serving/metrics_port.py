"""Serve the metrics of a serving process on a fixed port for other machines, in addition to its loopback port.

Why this exists: if Ray starts gateways and replicas in separate containers (KubeRay), Prometheus cannot reach a loopback port and needs a
known port number. A new replica starts before the old replica has ended, so the new replica waits until the port is free.
"""

import logging
import threading

from prometheus_client import CollectorRegistry

from stream.telemetry import MetricsServer

_LOG = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class MetricsPort:
    """Serves `registry` at `host` and `port` once the port is free, until :meth:`stop`; does nothing if `port` is 0."""

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        self._registry = registry
        self._address = (host, port)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="metrics-port", daemon=True)
        if port:
            self._thread.start()

    def stop(self) -> None:
        """Close the port."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _serve(self) -> None:
        host, port = self._address
        logged = None
        while not self._stopped.is_set():
            try:
                server = MetricsServer(self._registry, port, host=host).start()
            except OSError as error:
                if error.errno != logged:  # another process may have the port for as long as this one lives
                    _LOG.info("metrics wait for %s:%d (%s)", host, port, error.strerror)
                logged = error.errno
                self._stopped.wait(_RETRY_SECONDS)
                continue
            self._stopped.wait()
            server.stop()
