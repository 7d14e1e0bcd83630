"""Events that score publishes for sentinels: signals of answers to four prompts, and the ticks of every inference partition."""

from stream.wire import OWN_TENANT, Event
from support.signal_log import score_tick, signal_event

START = 1000.0


def answers(tenant: str, count: int, *, changed_at: int = 10_000, partitions: int = 2) -> list[Event]:
    """Return one answer every five seconds to four prompts in turn. The answers to a prompt have the same length until `changed_at`."""
    log = []
    for number in range(count):
        words = (24.0 if number < changed_at else 31.0) + number % 4
        event = signal_event(
            f"r{number}",
            START + 5 * number,
            tenant=tenant,
            side="output",
            features={"characters": 5 * words, "completion_tokens": words, "score_refusal": 0.1},
            prompt=f"sentinel/1/{number % 4}" if tenant == OWN_TENANT else "",
        )
        log += [event, *(score_tick(partition, {"s": START + 5 * number}) for partition in range(partitions))]
    end = START + 5 * count + 60
    return [*log, *(score_tick(partition, {"s": end}) for partition in range(partitions))]
