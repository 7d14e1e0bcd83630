"""F14: the shipper's producer loses its sequence, or is fenced."""

import random
import signal
import time
from typing import ClassVar

from chaos.strike import Fault, Lab, Strike, progress
from chaos.world import until

__all__ = ["LostProducer"]

_NEW_PRODUCER_SECONDS = 10.0


class LostProducer(Fault):
    """The lab's shipper spoils its own producer when it is told to; the product must make another."""

    key: ClassVar[str] = "F14"
    what: ClassVar[str] = "OutOfOrderSequence or a fenced epoch in the shipper's producer"
    round_strikes: ClassVar[int] = 10
    mutation: ClassVar[str] = "producer-kept"
    breaks: ClassVar[tuple[str, ...]] = ("F14",)

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Spoil it after a while."""
        world = lab.world
        wait = chance.uniform(0.3, 3.0)
        strike.how = f"after {wait:.2f} s"
        time.sleep(wait)
        made = world.meters.metric("shipper", "weir_capture_producers_total")
        began = time.monotonic()
        world.child("shipper").send(signal.SIGUSR1)
        try:
            until(
                "a new producer",
                lambda: world.meters.metric("shipper", "weir_capture_producers_total") > made,
                _NEW_PRODUCER_SECONDS,
                0.05,
            )
        except TimeoutError as error:
            strike.violations.append(f"F14: {error}")
        strike.figures["new_producer_seconds"] = round(time.monotonic() - began, 2)
        strike.bit = f"{world.meters.metric('shipper', 'weir_capture_producers_total') - made:.0f} producers were made"

    def standing(self, lab: Lab) -> dict[str, int]:
        """Records must come to inference again."""
        return progress(lab.world, "shipper")
