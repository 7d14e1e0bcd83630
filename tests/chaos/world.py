"""A lab: a real Apache Kafka behind a proxy; sources, shipper, score, watch and ledger as processes; and a supervisor.

Real: the broker, every process of the product and its settings, SIGKILL, SIGSTOP, disks. Not real: the traffic, the proxy, and
the small detectors that score loads (:mod:`chaos.engine`).
"""

import json
import os
import shutil
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import msgspec
from anyio.from_thread import start_blocking_portal
from support.running_broker import free_ports

from chaos.disk import SmallDisk
from chaos.look import Look
from chaos.meters import Meters
from chaos.mutations import VARIABLE
from chaos.options import CONFIG, P, Q
from chaos.proxy import Proxy
from chaos.source import SourceArgs
from chaos.supervisor import Child
from serving.capture.balance import read_balance
from serving.capture.spool_layout import source_directories
from stream.kafka.admin import create_topics
from stream.kafka.probe import broker_answers
from stream.settings import KafkaSettings
from weir.local.broker.apache import MAX_MESSAGE_BYTES
from weir.local.broker.launch import broker_command
from weir.settings import load_settings

_TESTS = Path(__file__).parents[1]
_PART_NAMES = ("shipper", "score", "watch", "ledger")


def until(what, check, seconds=60.0, every=0.1):
    """Poll `check` until its result is true; raise TimeoutError with `what` at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        if result := check():
            return result
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)


class World:
    """A running lab. `home` contains its logs, spool and journals; `deaths` has every end of a process."""

    def __init__(self, options) -> None:
        self.options = options
        self.home = Path(tempfile.mkdtemp(prefix="weir-chaos-"))
        self.spool = self.home / "spool"
        self.deaths = []
        self.children = {}
        self.live_sources = []
        self.disk = None
        names = ("broker", "controller", "proxy", *_PART_NAMES)
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.proxy = Proxy(self._ports["proxy"], self._ports["broker"])
        self._bootstrap = f"127.0.0.1:{self._ports['proxy']}"
        self.kafka = KafkaSettings(
            bootstrap_servers=self._bootstrap, topic_prefix="chaos.", partitions=P, stream_partitions=Q
        )
        self.names = self.kafka.names
        self.changelogs = {table: f"chaos.watch-{table}-changelog" for table in ("streams", "alerts", "retraining")}
        self.meters = Meters(self.children, self._ports)
        self._stack = ExitStack()
        self._portal = self._stack.enter_context(start_blocking_portal())
        self.look = Look(self._portal, self.kafka.client_options())
        self._source_count = 0
        self._choosing = threading.Lock()
        self._known_topics = set()
        (self.home / "ports.json").write_text(json.dumps(self._ports))

    def start(self):
        """Start all processes, the broker first, and wait until score and watch have committed the first records."""
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def _start(self):
        if self.options.disk_of:
            self.disk = SmallDisk(self.home / self.options.disk_of, self.options.disk_mb)
            self._stack.callback(self.disk.unmount)
        self._portal.call(self.proxy.start)
        self._child("broker", self._broker_argv(), self.home)
        if self.options.broker:
            self.start_broker()
            self.create_topics()
        for name in _PART_NAMES:
            self._child(name, [sys.executable, "-m", "chaos.process", name], self.home).start()
        for name in self.options.second:
            self._child(f"{name}-2", [sys.executable, "-m", "chaos.process", name], self._second_home()).start()
        for _ in range(self.options.sources):
            self.add_source()
        if self.options.broker:
            until("the first events pass", self._flowing, 90)

    def close(self):
        """Kill every process, and remove the folder unless ``CHAOS_KEEP`` is set."""
        for child in reversed(tuple(self.children.values())):
            child.close()
        self._portal.call(self.proxy.stop)
        self._stack.close()
        if "CHAOS_KEEP" not in os.environ:
            shutil.rmtree(self.home, ignore_errors=True)

    def _flowing(self):
        """Return whether score and watch have committed records."""
        score, watch = self.committed("score"), self.committed("watch")
        return any(score.values()) and any(end for (topic, _), end in watch.items() if topic == self.names.findings)

    def start_broker(self):
        """Start the broker and wait until it answers."""
        self.children["broker"].start()
        self.wait_broker()

    def wait_broker(self, seconds=120.0):
        """Wait until the broker answers."""
        address = f"127.0.0.1:{self._ports['broker']}"
        until("the broker answers", lambda: broker_answers(address, 1.0), seconds)

    def create_topics(self):
        """Create the topics, as ``weir topics create`` does."""
        topics = self.kafka.topics()
        if (larger := self.options.max_message_bytes) > MAX_MESSAGE_BYTES:
            topics = [msgspec.structs.replace(topic, max_message_bytes=larger) for topic in topics]
        self._portal.call(create_topics, self.kafka.client_options(), topics)

    def format_broker(self):
        """Delete the broker's volume and format a new one; return the number of deleted bytes."""
        volume = self.home / "kafka" / "apache"
        deleted = sum(path.stat().st_size for path in volume.rglob("*.log"))
        shutil.rmtree(volume)
        self._broker_argv()
        self._known_topics = set()
        self.look.forget()
        return deleted

    def cut(self):
        """Reset every connection to the broker; return their number."""
        return self._portal.call(self.proxy.cut)

    def add_source(self, **changes):
        """Start another source; return its name."""
        with self._choosing:
            name = f"s{self._source_count}"
            self._source_count += 1
        options = self.options
        given = {"seed": options.seed, "rate": options.rate, "slow_share": options.slow_share} | changes
        args = SourceArgs(home=str(self.home), name=name, capture=options.capture, **given)
        self._child(name, [sys.executable, "-m", "chaos.source", msgspec.json.encode(args).decode()], self.home).start()
        self.live_sources.append(name)
        return name

    def kill_a_source(self, number):
        """SIGKILL one of the live sources; return its name."""
        with self._choosing:
            name = self.live_sources.pop(number % len(self.live_sources))
        self.children.pop(name).close()
        return name

    def stop_source(self, name):
        """Stop a source cleanly."""
        self.live_sources.remove(name)
        child = self.children.pop(name)
        child.stop()
        child.close()

    def stop_sources(self):
        """Stop every source cleanly."""
        for name in tuple(self.live_sources):
            self.stop_source(name)

    def balance(self):
        """Return the balance of the spool."""
        return read_balance(self.spool)

    def spooled_sources(self):
        """Return the number of sources that have not been drained and removed."""
        return len(source_directories(self.spool))

    def committed(self, component):
        """Return the committed offsets of the group of ``score`` or ``watch``."""
        return self.look.committed(f"{self.kafka.topic_prefix}{component}")

    def counts(self):
        """Return the existing topics that the oracle reads, with their number of partitions."""
        own = {topic.name: topic.partitions for topic in self.kafka.topics()}
        wanted = own | dict.fromkeys(self.changelogs.values(), Q)
        if not self._known_topics >= wanted.keys():
            self._known_topics = self.look.topics()
        return {name: count for name, count in wanted.items() if name in self._known_topics}

    def settings(self):
        """Load the settings as the product's processes do: the oracle must use the same settings."""
        with mock.patch.dict(os.environ, self._environment(self.home), clear=True):
            return load_settings().settings

    def log_of(self, name):
        """Return the log of a component."""
        return (self.home / f"{name}.log").read_text(errors="replace")

    def _broker_argv(self):
        """Return the broker's command; its clients connect through the proxy."""
        port, proxy = self._ports["broker"], self._ports["proxy"]
        argv = broker_command("apache", self.home / "kafka", port, self._ports["controller"])
        properties = Path(argv[-1])
        advertised = "advertised.listeners=BROKER://127.0.0.1:{}".format
        text = properties.read_text()
        assert advertised(port) in text
        limit = f"message.max.bytes={self.options.max_message_bytes}\n"  # the last line of a name applies
        properties.write_text(text.replace(advertised(port), advertised(proxy)) + limit)
        return argv

    def _child(self, name, argv, home):
        log = self.home / f"{name}.log"
        child = Child(name, argv, environment=self._environment(home), log=log, deaths=self.deaths)
        self.children[name] = child
        return child

    def _environment(self, home):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        return clean | {
            "PYTHONPATH": f"{_TESTS}:{_TESTS.parent}",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "WEIR_HOME": str(home),
            "WEIR_CONFIG": str(CONFIG),
            "WEIR_KAFKA__BOOTSTRAP_SERVERS": self._bootstrap,
            "WEIR_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "WEIR_KAFKA__PARTITIONS": str(P),
            "WEIR_KAFKA__STREAM_PARTITIONS": str(Q),
            VARIABLE: self.options.mutation,
            **self.options.settings,
        }

    def _second_home(self):
        home = self.home / "second"
        home.mkdir(exist_ok=True)
        (home / "ports.json").write_text(json.dumps(dict(zip(_PART_NAMES, free_ports(4), strict=True))))
        return home
