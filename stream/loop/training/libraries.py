"""The environment and the logs of the libraries that train."""

import logging

from stream.loop.training.job import RunFolder


def library_environment(folder: RunFolder) -> dict[str, str]:
    """Return the variables to set before the imports: no telemetry of trl, no look-ups on the hub, no cache outside of `folder`."""
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HOME": str(folder.path / "hf"),
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def quiet_libraries() -> None:
    """Disable progress bars, and the warnings of trl, which quote prompts."""
    from datasets import disable_progress_bars  # noqa: PLC0415 - after the environment, which this import reads

    disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)
