"""The steps of a world: requests and faults. Each step is chosen at random, and chooses its details at random."""

import asyncio
from functools import partial

from aiokafka.errors import OutOfOrderSequenceNumber

from support.protocol.clients import lose_producer
from support.protocol.network import Weather
from support.protocol.parts import DETECTORS, KAFKA

_TEXTS = ("hello", "call 555 12345", "RAISE", "x" * 60, "call 98765 " + "y" * 60)
_TENANTS = ("acme", "beta")


def request(world):
    """Accept one, two or six requests; a full spool sheds them."""
    gateway = _serving(world)
    for _ in range(world.random.choice((1, 1, 2, 6))):
        if gateway is not None:
            _request(world, gateway)


def _request(world, gateway):
    accepted = world.accepted
    name, tenant = f"r{len(accepted.requests) + len(accepted.cut)}", world.random.choice(_TENANTS)
    text = world.random.choices(_TEXTS, weights=(8, 4, 1, 2, 2))[0]
    if not gateway.serves:
        return
    if gateway.request(name, text, owed=DETECTORS, principal=f"k{world.random.randrange(3)}", tenant=tenant):
        accepted.numbers += 1
        accepted.requests[name] = tenant
    else:
        accepted.perhaps += 2  # if the request was written whole, an aborted end follows
        accepted.cut.add(name)


def end(world):
    """End one to four open requests, each as complete, cancelled or error."""
    gateway = _serving(world)
    for _ in range(world.random.randint(1, 4)):
        if gateway is None or not gateway.serves or not gateway.open:
            return
        name = world.random.choice(gateway.open)
        status = world.random.choices(("complete", "cancelled", "error"), weights=(6, 2, 1))[0]
        text = world.random.choice(_TEXTS) if status != "error" else ""
        owed = DETECTORS if text else ()
        if gateway.end(name, text, status, owed=owed, tenant=world.accepted.requests[name]):
            world.accepted.numbers += 1
            world.accepted.ends[name] = status
        else:
            world.accepted.perhaps += 1


def kill_gateway(world):
    """Kill a gateway, perhaps in the middle of a write, and open another gateway."""
    gateway = _serving(world)
    if gateway is None:
        return
    if world.random.random() < 0.5:
        gateway.process.write_fuse = world.random.randint(1, 4)
        for _ in range(4):
            _request(world, gateway)
    gateway.kill()
    _open(world)


def close_gateway(world):
    """Close a gateway cleanly, perhaps kill it in the middle of a write, and open another gateway."""
    gateway = _serving(world)
    if gateway is None:
        return
    if world.random.random() < 0.3:
        gateway.process.write_fuse = world.random.randint(1, 5)
    gateway.close()
    _open(world)


def stop_gateway(world):
    """Suspend a gateway for a while; usually open another gateway beside it."""
    gateway = _serving(world)
    if gateway is not None:
        if world.random.random() < 0.7:
            _open(world)
        gateway.process.stop(world.random.choice((2.0, 6.0, 20.0)))


def kill(world, kind):
    """Kill a process now, right after one of its next effects, or (only the shipper) in the middle of a write to a spool."""
    process = _process(world, kind)
    how = world.random.choices(("now", "effect", "write"), weights=(2, 5, int(kind == "shipper")))[0]
    if how == "now":
        process.kill()
    elif how == "effect":
        process.fuse = world.random.randint(1, 12)
    else:
        process.write_fuse = world.random.randint(1, 6)


def stop(world, kind):
    """Suspend a process for a while, now or right after an effect; the pause may exceed its group session, and the life of an alert."""
    process = _process(world, kind)
    seconds = world.random.choice((0.5, 2.0, 6.0, 9.0, 25.0))
    if world.random.random() < 0.3:
        process.stop(seconds)
    else:
        process.stop_fuse = (world.random.randint(1, 12), seconds)


def scale(world):
    """Let a second worker join its group, or leave if it is a member."""
    name = world.random.choice(("score-1", "watch-1"))
    if name in world.workers:
        world.loop.create_task(world.leave(name))
    else:
        world.supervise(name)


def rebalance(world):
    world.coordinators[world.random.choice(("score", "watch"))].rebalance()


def commit(world):
    worker = world.workers[world.random.choice(sorted(world.workers))]
    if worker.process.alive and worker.process.running.is_set() and worker.generation:
        worker.process.spawn(worker.consumer.commit())


def slow_partition(world):
    """Let a worker fetch seldom from some of its partitions."""
    worker = world.workers[world.random.choice(sorted(world.workers))]
    worker.slow = {place: 0.9 for place in worker.assigned if world.random.random() < 0.4}


def weather(world):
    world.network.weather = Weather(
        slowest=world.random.choice((0.02, 0.2, 0.8)),
        ack_lost=world.random.choice((0.0, 0.0, 0.1, 0.3)),
        refused=world.random.choice((0.0, 0.0, 0.1)),
    )


def outage(world):
    """Make the broker unreachable for a while."""
    world.network.up.clear()
    world.loop.call_later(world.random.uniform(0.5, 8), world.network.up.set)


def lose(world):
    """Make the shipper's producer fail; the first records of those in flight may be written."""
    lose_producer(world.network, OutOfOrderSequenceNumber(), written=world.random.randint(0, 4))


def duplicate(world):
    """Write some records again, as a producer does that was killed before it recorded their acknowledgement."""
    names = KAFKA.names
    topic = world.random.choice((names.inference, names.verdicts, names.signals, names.findings))
    number = world.random.randrange(KAFKA.partitions)
    log = world.kafka.written[topic, number]
    if log:
        start = world.random.randrange(max(0, len(log) - 30), len(log))
        for record in log[start : start + world.random.randint(1, 3)]:
            world.kafka.append(topic, number, record.key, record.value, record.headers)


def poison(world):
    """Write a record that is not an event."""
    names, draw = KAFKA.names, world.random
    topic = draw.choice((names.inference, names.inference, names.signals, names.findings, names.alerts))
    number = draw.randrange(KAFKA.partitions)
    log = world.kafka.written[topic, number]
    headers = draw.choice((draw.choice(log).headers if log else (), (), (("ce_specversion", b"9"),)))
    world.kafka.append(
        topic, number, draw.choice((None, b"k")), draw.choice((b"", b"{", b"\xff\x00", b'{"a":1}')), headers
    )


def compact(world):
    """Compact the changelogs and the alerts topic."""
    for topic in world.kafka.topics:
        if topic.endswith("-changelog") or topic == KAFKA.names.alerts:
            world.kafka.compact(topic, keep_newest=40)


#: The weight and the function of each step.
STEPS = {
    "request": (30, request),
    "end": (18, end),
    "kill gateway": (3, kill_gateway),
    "close gateway": (2, close_gateway),
    "stop gateway": (2, stop_gateway),
    "kill shipper": (6, partial(kill, kind="shipper")),
    "stop shipper": (1, partial(stop, kind="shipper")),
    "kill score": (5, partial(kill, kind="score")),
    "stop score": (2, partial(stop, kind="score")),
    "kill watch": (8, partial(kill, kind="watch")),
    "stop watch": (3, partial(stop, kind="watch")),
    "kill ledger": (3, partial(kill, kind="ledger")),
    "scale": (3, scale),
    "rebalance": (4, rebalance),
    "commit": (3, commit),
    "slow partition": (2, slow_partition),
    "weather": (3, weather),
    "outage": (1, outage),
    "lose producer": (3, lose),
    "duplicate": (4, duplicate),
    "poison": (3, poison),
    "compact": (2, compact),
}


async def step(world, favoured):
    """Do a random step, let time pass, and return the step's name. `favoured` multiplies the weights of steps."""
    names = list(STEPS)
    weights = [STEPS[name][0] * favoured.get(name, 1) for name in names]
    name = world.random.choices(names, weights=weights)[0]
    STEPS[name][1](world)
    await asyncio.sleep(world.random.expovariate(2.0))
    return name


def _process(world, kind):
    return world.processes[world.random.choice([name for name in world.processes if name.startswith(kind)])]


def _serving(world):
    serving = [gateway for gateway in world.gateways if gateway.serves]
    return world.random.choice(serving) if serving else None


def _open(world):
    """Open a gateway; with a small limit its spool sheds requests."""
    world.open_gateway(limit_bytes=world.random.choice((1_000_000, 1_000_000, 100_000, 200_000)))
