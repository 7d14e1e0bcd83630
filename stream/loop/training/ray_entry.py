"""The function that Ray Train runs in each worker; Ray's controller also imports this module, and needs none of the training libraries."""

from typing import Any


def train_worker(config: dict[str, Any]) -> None:
    """Run :func:`stream.loop.training.ray_worker.train_worker` with `config`."""
    from stream.loop.training.ray_worker import train_worker as run  # noqa: PLC0415 - only a worker needs transformers and trl

    run(config)
