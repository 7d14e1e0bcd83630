"""The parts of this stack that a training run needs: settings, base models, and the commands for datasets, the gate and MLflow."""

import sys
from functools import partial

from opentelemetry.trace import NoOpTracer, Tracer

from stream.loop.settings import loop_settings
from stream.loop.training.errors import TrainingError
from stream.loop.training.run import BaseModel, TrainerSetup
from weir.errors import SettingsError, StackError
from weir.local.preflight import ensure_model
from weir.operate.mlflow_address import use_mlflow
from weir.settings import Settings

#: `weir` of this environment, even if the script is not on PATH.
_WEIR = [sys.executable, "-c", "from weir.cli import main; main()"]


def trainer_setup(settings: Settings, ports: dict[str, int], tracer: Tracer | None = None) -> TrainerSetup:
    """Return the setup of this stack's training runs; `ports` are those of the stack, and `tracer` creates its spans.

    Raises SettingsError if training would use the Ray cluster that serves models here.
    """
    if settings.train.cluster == "ray" and settings.train.address == f"127.0.0.1:{ports.get('ray_gcs')}":
        raise SettingsError(
            f"[train] address is {settings.train.address}, the Ray cluster that serves models; start another cluster for"
            " training, because training would delay requests"
        )
    home = settings.home.absolute()

    return TrainerSetup(
        home=home,
        train=settings.train,
        settings=lambda tenant: loop_settings(settings.tenants, tenant),
        base=partial(served_base, settings),
        dataset_command=lambda retraining_id: [*_WEIR, "dataset", "build", "--for", retraining_id, "--json"],
        gate_command=lambda version: [*_WEIR, "gate", version, "--json"],
        mirror_command=lambda version: [
            sys.executable, "-m", "stream.loop.training.mlflow_mirror", str(home), version,
        ],
        mlflow=use_mlflow(settings, ports),
        tracer=tracer or NoOpTracer(),
    )  # fmt: skip


def served_base(settings: Settings, model: str) -> BaseModel:
    """Return the base of a served model, and fetch it if needed; raises TrainingError for an unknown model."""
    served = settings.served_models().get(model)
    if served is None:
        raise TrainingError(
            f"model {model} is not served here; this stack serves {', '.join(settings.served_models())}"
        )
    try:
        files = ensure_model(model, served, lambda _what, _share: None)
    except StackError as error:
        raise TrainingError(str(error)) from error
    if files is None:
        raise TrainingError(
            f"model {model} has no files on this machine (engine {served.engine}); train it with your own trainer (docs/loop.md)"
        )
    return BaseModel(files.path.absolute(), files.digest)
