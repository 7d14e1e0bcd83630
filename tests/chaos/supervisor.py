"""Restart processes that end, as ``weir up`` does, unless the lab keeps them stopped."""

import contextlib
import os
import signal
import subprocess
import threading
import time

import msgspec

_STOP_SECONDS = 20.0
_BACKOFF_SECONDS = (0.1, 0.5, 2.0, 5.0)
_STEADY_SECONDS = 10.0


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a process; `ours` if the lab caused it."""

    name: str
    status: int
    ours: bool
    lived_seconds: float


class Child:
    """One supervised process, which appends its output to `log` and its ends to `deaths`.

    The thread that starts the process also waits for it, since the kernel kills a child when that thread ends.
    """

    def __init__(self, name, argv, *, environment, log, deaths) -> None:
        self.name = name
        self._argv = argv
        self._environment = environment
        self._log = log
        self._deaths = deaths
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._ours = False
        self._thread = threading.Thread(target=self._keep, name=f"child-{name}", daemon=True)
        self._thread.start()

    @property
    def pid(self):
        """The process id, or None while the process does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def wanted(self):
        """Whether the process should run."""
        return self._wanted.is_set()

    def expect_death(self):
        """Record the next end of the process as caused by the lab."""
        self._ours = True

    def start(self):
        """Start the process, and restart it whenever it ends."""
        self._wanted.set()

    def wait_running(self, seconds=30.0):
        """Wait until the process runs, and return its pid."""
        deadline = time.monotonic() + seconds
        while (pid := self.pid) is None:
            assert time.monotonic() < deadline, f"{self.name} was not started within {seconds:.0f} s"
            time.sleep(0.01)
        return pid

    def kill(self):
        """Send SIGKILL and wait for the end; the process stays stopped until :meth:`start`."""
        self._end(signal.SIGKILL)

    def stop(self):
        """Send SIGTERM, and SIGKILL after a timeout; the process stays stopped."""
        self._end(signal.SIGTERM)

    def send(self, number):
        """Send a signal if the process runs."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def close(self):
        """Kill the process, and never restart it."""
        self._closed.set()
        self._end(signal.SIGKILL)
        self._wanted.set()
        self._thread.join()

    def _end(self, how):
        self._wanted.clear()
        process = self._process
        if process is None or process.poll() is not None:
            return
        self._ours = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        with self._changed:
            self._changed.wait_for(lambda: self._process is not process, _STOP_SECONDS)

    def _keep(self):
        quick = 0
        while True:
            self._wanted.wait()
            if self._closed.is_set():
                return
            began = time.monotonic()
            status = self._run()
            lived = time.monotonic() - began
            ours, self._ours = self._ours, False
            self._deaths.append(Death(name=self.name, status=status, ours=ours, lived_seconds=lived))
            with self._changed:
                self._process = None
                self._changed.notify_all()
            quick = 0 if ours or lived > _STEADY_SECONDS else quick + 1
            if self._wanted.is_set() and quick:
                self._closed.wait(_BACKOFF_SECONDS[min(quick, len(_BACKOFF_SECONDS)) - 1])

    def _run(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._argv],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._process.wait()
