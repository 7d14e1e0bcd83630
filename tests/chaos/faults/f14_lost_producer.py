"""F14: the shipper's producer has a wrong sequence number, or is fenced."""

import signal
import time

from chaos.strike import Fault


class LostProducer(Fault):
    """Signals the lab's shipper to invalidate its own producer; the product must create a new producer."""

    key = "F14"
    what = "OutOfOrderSequence or a fenced epoch in the shipper's producer"
    round_strikes = 10
    mutation = "producer-kept"
    breaks = ("F14",)
    pause = (0.3, 3.0)
    parts = ("shipper",)

    def strike(self, lab, chance, strike):
        world = lab.world

        def made():
            return world.meters.metric("shipper", "weir_capture_producers_total")

        before, began = made(), time.monotonic()
        world.children["shipper"].send(signal.SIGUSR1)
        strike.expect("F14", "a new producer", lambda: made() > before, 10, 0.05)
        strike.figures["new_producer_seconds"] = round(time.monotonic() - began, 2)
        strike.effect = f"{made() - before:.0f} producers were created"
