"""Run a process of the product in the lab: ``python -m chaos.process NAME`` is ``python -m weir.component NAME`` with changes.

The changes are the mutations that ``CHAOS_MUTATION`` names, crash points in the shipper, and the lab's small detectors in score.
"""

import os
import signal
import sys
from pathlib import Path

from chaos import crashpoints
from chaos.engine import SPEC
from chaos.mutations import mutate
from weir.component import components


def _score(process):
    from stream.runtime.worker import run  # noqa: PLC0415 - only score needs Faust here
    from stream.stages.score_app import create_app  # noqa: PLC0415 - as above

    settings = process.settings
    app = create_app(
        components.effective_kafka(settings),
        settings.detectors,
        settings.score,
        data_dir=process.data_dir,
        registry=process.registry,
        tracer_provider=process.tracer,
        spec=SPEC,
    )
    process.checks.append(app.health)
    process.health.pop("start", None)
    return run(app)


def _spoil_on_signal():
    """On SIGUSR1, set a wrong sequence or epoch in the producer, as after a broker lost its state (F14)."""
    from serving.capture import producer as delivery  # noqa: PLC0415 - only the shipper has this producer

    made = []
    begin = delivery.Lease.__init__

    def remember(self, producer, *more):
        made.append(producer)
        begin(self, producer, *more)

    def spoil(*_):
        manager = made[-1]._txn_manager
        if len(made) % 2:
            for place in tuple(manager._sequence_numbers):
                manager.increment_sequence_number(place, 7)
        else:
            manager._pid_and_epoch = manager._pid_and_epoch._replace(epoch=-1)

    delivery.Lease.__init__ = remember
    signal.signal(signal.SIGUSR1, spoil)


def main(name):
    """Run component `name`."""
    components.COMPONENTS["score"] = _score
    if name == "shipper":
        crashpoints.plant(Path(os.environ["WEIR_HOME"]))
        _spoil_on_signal()
    mutate(name)
    return components.main([name])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
