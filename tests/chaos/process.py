"""The product's processes in the lab: ``python -m chaos.process NAME``, which is ``python -m weir.component NAME`` and three things more.

A mutation of our code, where ``CHAOS_MUTATION`` names one; a crash point, where the lab has planted one; for score, the lab's
small detectors. All of it is applied here, never by the product.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from chaos import crashpoints
from chaos.engine import SPEC
from chaos.mutations import mutate
from weir.component import components as component

__all__ = ["main"]


def _score(process: Any) -> int:
    from stream.runtime.worker import run  # noqa: PLC0415 - only score needs Faust here
    from stream.stages.score_app import create_app  # noqa: PLC0415 - as above

    settings = process.settings
    app = create_app(
        component.effective_kafka(settings),
        settings.detectors,
        settings.score,
        settings.watch,
        data_dir=process.data_dir,
        registry=process.registry,
        tracer_provider=process.tracer,
        spec=SPEC,
    )
    process.checks.append(app.health)
    process.health.pop("start", None)
    return run(app)


def main(name: str) -> int:
    """Run component `name`."""
    component.COMPONENTS["score"] = _score
    if name == "shipper":
        crashpoints.plant(Path(os.environ["WEIR_HOME"]))
        _spoil_on_signal()
    mutate(name)
    return component.main([name])


def _spoil_on_signal() -> None:
    """On SIGUSR1 the producer's sequence or epoch is wrong from then on, as a broker's lost state would make it (F14)."""
    from serving.capture import producer as delivery  # noqa: PLC0415 - only the shipper has a producer of this kind

    made: list[Any] = []
    begin = delivery.Lease.__init__

    def remember(self: Any, producer: Any) -> None:
        made.append(producer)
        begin(self, producer)

    def spoil(*_: object) -> None:
        manager = made[-1]._txn_manager
        if len(made) % 2:
            for place in tuple(manager._sequence_numbers):
                manager.increment_sequence_number(place, 7)
        else:
            manager._pid_and_epoch = manager._pid_and_epoch._replace(epoch=-1)

    delivery.Lease.__init__ = remember  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, spoil)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
