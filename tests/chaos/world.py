"""One lab: a real Apache Kafka behind a proxy, sources, shipper, score, watch and ledger as processes, and a supervisor.

Real: the broker, the network between it and everybody, every process of the product and its settings, kill, SIGSTOP, disks. The
lab's own: the traffic, and the small detectors that score loads (:mod:`chaos.engine`).
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from support.running_broker import free_ports

from chaos.disk import SmallDisk
from chaos.look import Look, Offsets
from chaos.meters import Meters
from chaos.mutations import VARIABLE
from chaos.options import CONFIG, P, Q, WorldOptions
from chaos.proxy import Link, LoopThread, Proxy
from chaos.source import SourceArgs
from chaos.supervisor import Child, Death
from serving.capture.balance import Balance, BalanceReader
from serving.capture.spool_layout import source_directories
from stream.kafka.admin import create_topics
from stream.kafka.probe import broker_answers
from stream.settings import KafkaSettings
from weir.local.broker.apache import MAX_MESSAGE_BYTES
from weir.local.broker.launch import launch_broker
from weir.settings import Settings

__all__ = ["World", "until"]

_TESTS = Path(__file__).parents[1]
_PART_NAMES = ("shipper", "score", "watch", "ledger")


def until(what: str, check: Callable[[], Any], seconds: float = 60.0, every: float = 0.1) -> Any:
    """Poll `check` until it returns something true; TimeoutError naming `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        if result := check():
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


class World:
    """A running lab; a context manager.

    Attributes
    ----------
    home
        Its folder; logs lie there, spool and journals too.
    deaths
        Every end of a process.
    """

    def __init__(self, options: WorldOptions, folder: Path | None = None) -> None:
        self.options = options
        self.home = Path(tempfile.mkdtemp(prefix="weir-chaos-", dir=folder))
        self.deaths: list[Death] = []
        self.children: dict[str, Child] = {}
        self.loop = LoopThread()
        ports = dict(
            zip(("broker", "controller", "proxy", *_PART_NAMES), free_ports(3 + len(_PART_NAMES)), strict=True)
        )
        self.bootstrap = f"127.0.0.1:{ports['proxy']}"
        self.direct = f"127.0.0.1:{ports['broker']}"
        self.proxy = Proxy(ports["proxy"], ports["broker"])
        self.kafka = KafkaSettings(
            bootstrap_servers=self.bootstrap, topic_prefix="chaos.", partitions=P, stream_partitions=Q
        )
        self.names = self.kafka.names
        self.look = Look(self.loop, self.kafka.client_options())
        self._ports = ports
        self._sources = 0
        self._choosing = threading.Lock()
        self._known_topics: set[str] = set()
        self.live_sources: list[str] = []
        self.disk: SmallDisk | None = None
        self.meters = Meters(self.children, ports)
        self._write_home(self.home, ports)

    # -- life

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self, *, broker: bool = True) -> Self:
        """Start everything, the broker first, and wait until the first verdicts come."""
        if self.options.disk_of:
            self.disk = SmallDisk(self.home / self.options.disk_of, self.options.disk_mb)
        self.loop.call(self.proxy.start())
        self._child("broker", self._broker_argv(), self.home, start=False)
        if broker:
            self.start_broker()
            self.create_topics()
        for name in _PART_NAMES:
            self._add(name, self.home)
        for name in self.options.second:
            self._add(name, self._second_home(name), f"{name}-2")
        for _ in range(self.options.sources):
            self.add_source()
        if broker:
            until("the first events pass", self.flowing, 90)
        return self

    def close(self) -> None:
        """End every process, and remove the folder unless ``CHAOS_KEEP`` is set."""
        for child in reversed(tuple(self.children.values())):
            child.close()
        self.loop.call(self.proxy.stop())
        self.loop.close()
        if self.disk is not None:
            self.disk.unmount()
        if "CHAOS_KEEP" not in os.environ:
            shutil.rmtree(self.home, ignore_errors=True)

    def flowing(self) -> bool:
        """Whether score and watch have committed something."""
        score, watch = self.committed("score"), self.committed("watch")
        return any(score.values()) and any(end for (topic, _), end in watch.items() if topic == self.names.findings)

    # -- the broker

    def start_broker(self) -> None:
        """Start the broker and wait until it answers."""
        self.children["broker"].start()
        self.wait_broker()

    def wait_broker(self, seconds: float = 120.0) -> None:
        """Wait until the broker answers."""
        until("the broker answers", lambda: broker_answers(self.direct, 1.0), seconds)

    def create_topics(self) -> None:
        """Make the topics, as ``weir topics create`` does."""
        topics = self.kafka.topics()
        if (larger := self.options.max_message_bytes) > MAX_MESSAGE_BYTES:
            topics = [msgspec.structs.replace(topic, max_message_bytes=larger) for topic in topics]
        self.loop.call(create_topics(self.kafka.client_options(), topics))

    def format_broker(self) -> int:
        """Delete the broker's volume and format a new one; return how many bytes were deleted."""
        volume = self.home / "kafka" / "apache"
        gone = sum(path.stat().st_size for path in volume.rglob("*.log"))
        shutil.rmtree(volume)
        self._broker_argv()
        self._known_topics = set()
        self.look.forget()
        return gone

    def line(self, link: Link) -> None:
        """Change what lies between the clients and the broker."""
        self.proxy.link = link

    def cut(self) -> int:
        """Reset every connection to the broker; return how many there were."""
        return self.loop.call(self.proxy.cut())

    # -- sources

    def add_source(self, **changes: Any) -> str:
        """Start another source; return its name."""
        with self._choosing:
            name = f"s{self._sources}"
            self._sources += 1
        given = {
            "home": str(self.home),
            "name": name,
            "seed": self.options.seed,
            "rate": self.options.rate,
            "slow_share": self.options.slow_share,
            "capture": self.options.capture,
            **changes,
        }
        args = SourceArgs(**given)
        argv = [sys.executable, "-m", "chaos.source", msgspec.json.encode(args).decode()]
        self._child(name, argv, self.home)
        self.live_sources.append(name)
        return name

    def kill_a_source(self, number: int) -> str:
        """SIGKILL one of the live sources, and return its name; a gateway that comes instead is another source."""
        with self._choosing:
            name = self.live_sources.pop(number % len(self.live_sources))
        self.children.pop(name).close()
        return name

    def stop_source(self, name: str) -> None:
        """End a source in order."""
        self.live_sources.remove(name)
        child = self.children.pop(name)
        child.stop()
        child.close()

    def stop_sources(self) -> None:
        """End every source in order."""
        for name in tuple(self.live_sources):
            self.stop_source(name)

    # -- looks

    @property
    def spool(self) -> Path:
        """The spool's root."""
        return self.home / "spool"

    def balance(self) -> Balance:
        """Return the balance of the spool."""
        return BalanceReader(self.spool).read()

    def spooled_sources(self) -> int:
        """How many sources have not been drained and removed."""
        return len(source_directories(self.spool))

    def committed(self, component: str) -> Offsets:
        """Return what the group of ``score`` or ``watch`` has committed."""
        return self.look.committed(f"{self.kafka.topic_prefix}{component}")

    @property
    def changelogs(self) -> dict[str, str]:
        """Changelog topics by table."""
        return {
            table: f"{self.kafka.topic_prefix}watch-{table}-changelog" for table in ("streams", "alerts", "retraining")
        }

    def counts(self) -> dict[str, int]:
        """Return every topic that there is for the oracle to read, with its partitions."""
        own = {topic.name: topic.partitions for topic in self.kafka.topics()}
        wanted = own | dict.fromkeys(self.changelogs.values(), Q)
        if not self._known_topics >= wanted.keys():
            self._known_topics = self.look.topics()
        return {name: count for name, count in wanted.items() if name in self._known_topics}

    def settings(self) -> Settings:
        """Return what the product's processes are set to."""
        return Settings(**self.options.values(), kafka=self.kafka)

    # -- the rest

    def child(self, name: str) -> Child:
        """Return a supervised process."""
        return self.children[name]

    def log_of(self, name: str) -> str:
        """Return the log of a component."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def _broker_argv(self) -> list[str]:
        """Return the broker's command; its clients connect through the proxy."""
        port, proxy = self._ports["broker"], self._ports["proxy"]
        argv = launch_broker("apache", self.home / "kafka", port, self._ports["controller"]).argv
        properties = Path(argv[-1])
        advertised = "advertised.listeners=BROKER://127.0.0.1:{}".format
        text = properties.read_text()
        assert advertised(port) in text
        limit = f"message.max.bytes={self.options.max_message_bytes}\n"  # the last one wins
        properties.write_text(text.replace(advertised(port), advertised(proxy)) + limit)
        return argv

    def _add(self, name: str, home: Path, child: str = "") -> None:
        argv = [sys.executable, "-m", "chaos.process", name]
        self._child(child or name, argv, home)

    def _child(self, name: str, argv: list[str], home: Path, *, start: bool = True) -> None:
        child = Child(
            name,
            argv,
            environment=self._environment(home),
            log=self.home / f"{name}.log",
            on_death=self.deaths.append,
        )
        self.children[name] = child
        if start:
            child.start()

    def _environment(self, home: Path) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        return clean | {
            "PYTHONPATH": f"{_TESTS}:{_TESTS.parent}",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "WEIR_HOME": str(home),
            "WEIR_CONFIG": str(self.home / "weir.toml"),
            "WEIR_KAFKA__BOOTSTRAP_SERVERS": self.bootstrap,
            "WEIR_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "WEIR_KAFKA__PARTITIONS": str(P),
            "WEIR_KAFKA__STREAM_PARTITIONS": str(Q),
            VARIABLE: self.options.mutation,
            **self.options.settings,
        }

    def _second_home(self, name: str) -> Path:
        home = self.home / "second"
        home.mkdir(exist_ok=True)
        (home / "ports.json").write_text(json.dumps({name: free_ports(1)[0] for name in _PART_NAMES}))
        return home

    def _write_home(self, home: Path, ports: dict[str, int]) -> None:
        (home / "ports.json").write_text(json.dumps(ports))
        (home / "weir.toml").write_text(CONFIG)
