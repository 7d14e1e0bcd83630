"""``weir train``."""

import asyncio

import click

from stream.count_text import count_text
from weir.cli.missing_extra import needing
from weir.cli.options import json_option
from weir.cli.render.output import print_result
from weir.cli.render.progress import progress_on_stderr
from weir.home.ports import load_ports

#: The states of a run that reached the gate's decision.
_EVALUATED = ("blessed", "refused")


@click.command()
@click.option("--dataset", "digest", required=True, metavar="DIGEST", help="The dataset, or the start of its digest.")
@click.option("--for", "retraining_id", metavar="ID", help="The retraining request; its states are published.")
@json_option
def train(*, digest: str, retraining_id: str | None, as_json: bool) -> None:
    """Train a version of a model on a dataset, as the trainer process does; print the version.

    A run that was interrupted continues from its newest checkpoint. With --for, the gate evaluates the version too. The exit
    status is 1 if the run failed or was interrupted, or if its request was rejected during the run. It is 0 if the gate refused
    the version.

    \b
    Examples:
      weir train --dataset 3f2a90
      weir train --dataset 3f2a90 --for rt_0123456789abcdef
    """
    from weir.client import effective_kafka
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir train", "serving,stream,loop"), progress_on_stderr() as show:
        from stream.loop.training.by_hand import train_dataset, train_request
        from stream.loop.training.job import Progress
        from weir.operate.trainer_setup import trainer_setup

        setup = trainer_setup(settings, load_ports(settings.home))

        def step(progress: Progress) -> None:
            show("training", progress.step, progress.steps)

        kafka = effective_kafka(settings)
        if retraining_id is not None:
            state = asyncio.run(train_request(setup, kafka, retraining_id, digest, step))
            print_result({"state": state}, f"{retraining_id}: {state}", as_json=as_json)
            if state not in _EVALUATED:
                raise click.exceptions.Exit(1)
            return
        manifest = asyncio.run(train_dataset(setup, kafka, digest, step))
    measured = f"{count_text(round(manifest.numbers['step']), 'step')}, loss {manifest.numbers['loss']:.4f}"
    print_result(manifest, f"{manifest.version}: {measured}\nweir gate {manifest.version}", as_json=as_json)
