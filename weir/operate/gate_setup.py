"""Prepare a run of the gate on this stack: the version, its champion, its dataset and its settings."""

from collections.abc import Callable
from pathlib import Path

from serving.settings import ENGINES_WITHOUT_FILES
from stream.errors import StreamError
from stream.loop.gate.report import GateReport, write_report
from stream.loop.gate.run import GateRun, run_gate
from stream.loop.gate.triggers import BothArms
from stream.loop.settings import loop_settings
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob, VersionFolder, has_fast_bfloat16
from stream.loop.training.manifest import VersionManifest, read_version
from stream.wire.route_files import BASE
from weir.errors import StackError
from weir.operate.routes import routes
from weir.operate.trainer_setup import served_base
from weir.settings import Settings


def gate_version(
    settings: Settings, version: str, champion: str | None, progress: Callable[[str, float], None]
) -> GateReport:
    """Run the gate for a version, write its report into the version's folder, and return it.

    `champion` is a version or ``base``; None is the version that answers now, or ``base`` if this is the version itself.

    Raises TrainingError for an unknown version, StackError for a champion that is the version itself or has another base
    model, and GateError or DetectorError if the gate cannot run.
    """
    if champion == version:
        raise StackError(f"champion is {version}, the version itself: name another version, or base")
    home = settings.home
    manifest = read_version(home, version)
    job, trained = manifest.job, _trained(home, manifest).job
    against = _champion(home, manifest) if champion is None else champion
    path = VersionFolder.of(home, against).manifest
    if champion is None and against not in (BASE, version) and not path.exists():
        raise StackError(_incomparable(against, job, f"no {path}", answers=True))
    known = None if against in (BASE, version) else read_version(home, against)
    if known is not None and known.job.base_digest != job.base_digest:
        raise StackError(_incomparable(against, job, f"another base model than {version}", answers=champion is None))
    if known is None:
        _check_base(settings, version, job)
    run = GateRun(
        version=version,
        champion=BASE if known is None else against,
        dataset=_dataset(home, job),
        dataset_digest=trained.dataset_digest,
        inherited=_dataset(home, trained),
        settings=loop_settings(settings.tenants, job.tenant),
        detector_options=settings.detectors.options,
    )

    def arms() -> BothArms:
        if all(one is None or one.smaller is None for one in (manifest, known)):
            return _arms(
                Path(job.base),
                VersionFolder.of(home, version),
                None if known is None else VersionFolder.of(home, against),
            )
        served = settings.served_models().get(job.model)
        return _engine_arms(home, manifest, known, exact=served is not None and served.dtype == "float32")

    report, words = run_gate(run, arms, progress)
    write_report(report, words, VersionFolder.of(home, version).path)
    return report


def _incomparable(champion: str, job: TrainingJob, why: str, *, answers: bool) -> str:
    """Return the error for a champion that has `why`; `answers` is whether it was chosen because it answers now."""
    problem = f"{champion} {'answers now and ' if answers else ''}has {why}, so they cannot be compared"
    if not answers:
        return f"{problem}: name a version of the same base, or --champion base"
    return (
        f"{problem}: let the present base answer (`weir models promote base --tenant {job.tenant} --model {job.model} --now --reason TEXT`), "
        "then repeat the gate (`weir retraining resume`)"
    )


def _check_base(settings: Settings, version: str, job: TrainingJob) -> None:
    """Raise StackError if the model of the settings, which answers as ``base``, is not the base of the version."""
    served = settings.served_models().get(job.model)
    if served is None or served.engine in ENGINES_WITHOUT_FILES:
        return
    digest = served_base(settings, job.model).digest
    if digest != job.base_digest:
        raise StackError(
            f"{version} was made from a base with SHA-256 {job.base_digest[:12]}, and {job.model} of the settings has {digest[:12]}: "
            "make a version of the present model, or name a version of the same base with --champion"
        )


def _trained(home: Path, manifest: VersionManifest) -> VersionManifest:
    """Return the version that was trained: `manifest`, or the version from which it was made smaller."""
    while manifest.smaller is not None and manifest.job.parent not in ("", BASE):
        manifest = read_version(home, manifest.job.parent)
    return manifest


def _dataset(home: Path, job: TrainingJob) -> Path | None:
    """Return the folder of the job's dataset: that of this home, which can have another path than at the training."""
    if not job.dataset:
        return None
    own = home / "loop" / "datasets" / job.dataset_digest
    return own if job.dataset_digest and own.is_dir() else Path(job.dataset)


def _champion(home: Path, manifest: VersionManifest) -> str:
    """Return the champion of the route in force of the version's tenant and model, or ``base`` without a route."""
    try:
        in_force = routes(home, tenant=manifest.job.tenant, model=manifest.job.model)
    except StreamError as error:
        raise StackError(f"{error}; or name the champion with --champion") from error
    return in_force[0].champion if in_force else BASE


def _arms(base: Path, challenger: VersionFolder, champion: VersionFolder | None) -> BothArms:
    import torch  # noqa: PLC0415 - a poisoned dataset is refused before these imports of some seconds

    from stream.loop.gate.arms import Arms  # noqa: PLC0415 - as above
    from stream.loop.training.base_model import load_base  # noqa: PLC0415 - as above

    model, tokenizer = load_base(base)
    if has_fast_bfloat16():
        model = model.to(torch.bfloat16)
    return Arms(
        model, tokenizer, challenger=challenger.adapter, champion=None if champion is None else champion.adapter
    )


def _engine_arms(home: Path, challenger: VersionManifest, champion: VersionManifest | None, *, exact: bool) -> BothArms:
    """Return both versions in the engine that serves them: with quantised weights its answers differ from those of transformers."""
    from serving.engine.errors import EngineError  # noqa: PLC0415 - as in _arms
    from serving.engine.gguf_file import find_gguf  # noqa: PLC0415 - as in _arms
    from weir.operate.engine_arm import EngineArms  # noqa: PLC0415 - as in _arms

    weights = VersionFolder.of(home, challenger.version).merged
    against = (
        find_gguf(Path(challenger.job.base)) if champion is None else VersionFolder.of(home, champion.version).merged
    )
    if against is None or not against.is_file():
        raise TrainingError(
            f"{challenger.version} is a smaller version, and its champion {'base' if champion is None else champion.version} has no GGUF "
            "file, which the gate needs for the comparison: name another champion with --champion"
        )
    try:
        return EngineArms({"champion": against, "challenger": weights}, exact=exact)
    except EngineError as error:
        raise TrainingError(str(error)) from error
