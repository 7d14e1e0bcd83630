"""A local broker as a child of this process, with its own ports. A test can kill and restart it on the same data."""

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from stream.errors import BrokerError
from stream.kafka.probe import broker_answers
from weir.local.broker.launch import BrokerKind, broker_command

_READY_SECONDS = 180.0
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.05
_PROBE_SECONDS = 1.0
_OUTPUT_CHARACTERS = 1500


class RunningBroker:
    """A broker that this process starts, at the same address after a restart; its output is appended to `log`."""

    def __init__(self, kind: BrokerKind, argv: list[str], bootstrap: str, log: Path) -> None:
        self.kind = kind
        self._argv = argv
        self.bootstrap = bootstrap
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> Self:
        """Start the broker and wait until it answers (Apache Kafka: about 4 s)."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._argv],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_SECONDS
        while not broker_answers(self.bootstrap, _PROBE_SECONDS):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                output = self._log.read_text(errors="replace")[-_OUTPUT_CHARACTERS:]
                raise BrokerError(f"the {self.kind} broker was not ready within {_READY_SECONDS:.0f} s:\n{output}")
            time.sleep(_POLL_SECONDS)
        return self

    def stop(self) -> None:
        """Send SIGTERM, and SIGKILL after 15 s."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL, like a crash."""
        self._end(signal.SIGKILL)

    def restart(self) -> Self:
        """Stop the broker if it runs, and start it on the same port and data."""
        self.stop()
        return self.start()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, number)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_broker(kind: BrokerKind, data_dir: Path, port: int | None = None) -> RunningBroker:
    """Start a broker with its data in `data_dir` on `port` (None: a free one) and wait until it answers.

    The broker dies with the thread that started it (PR_SET_PDEATHSIG): start it from the main thread.
    """
    free, controller_port = free_ports(2)
    port = port or free
    argv = broker_command(kind, data_dir, port, controller_port)
    return RunningBroker(kind, argv, f"127.0.0.1:{port}", data_dir / f"{kind}.log").start()


def free_ports(count: int) -> list[int]:
    """Return `count` different ports that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]
