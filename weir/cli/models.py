"""``weir models``."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.count_text import count_text
from stream.errors import BrokerError
from stream.wire import RouteRecord
from weir.cli.missing_extra import needing
from weir.cli.options import FiniteRange, WholeRange, json_option, reason_option
from weir.cli.render.output import print_json, print_result, print_rows, print_table
from weir.cli.render.progress import progress_on_stderr
from weir.errors import NotFoundError, StackError
from weir.home.access_log import log_access, user_name

if TYPE_CHECKING:
    from stream.loop.training.manifest import VersionManifest
    from weir.settings import Settings

_MIB = 1024 * 1024


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, *, as_json: bool) -> None:
    """Print the installed models, their digests and their sources, which models are served, and the trained versions of this home.

    \b
    Examples:
      weir models --json
      weir models promote m_0123456789ab --tenant acme --reason 'tested by hand'
      weir models rollback --tenant acme --reason 'wrong answers'
      weir models verify m_0123456789ab
      weir models quantise smollm2-135m-instruct --precision int8
      weir models prune smollm2-135m-instruct --layers 4
      weir models compare smollm2-135m-instruct m_0123456789ab
    """
    if context.invoked_subcommand is not None:
        return
    from weir.quality.model_inventory import inventory
    from weir.settings import load_settings

    settings = load_settings().settings
    found = inventory(settings.served_models().values(), settings.detectors.options)
    if as_json:
        print_json(found)
        return
    rows = [
        [one.name, one.used_by, one.digest[:12], f"{one.size_bytes / _MIB:.0f} MiB", one.source, one.origin]
        for one in found
    ]
    print_table(
        ["model", "used by", "sha256", "size", "source", "origin"],
        rows,
        "no models are installed; `weir up` downloads them",
    )
    for name, model in settings.served_models().items():
        where = f"engine {model.engine} at {model.base_url}" if model.base_url else f"engine {model.engine}"
        click.echo(f"served: {name} ({where})")
    for line in _trained(settings.home):
        click.echo(line)


def _trained(home: Path) -> Iterator[str]:
    """Yield a line for each trained version of `home`, with its share of the requests."""
    from stream.loop.training.errors import TrainingError
    from stream.loop.training.manifest import read_version
    from weir.operate.routes import routes

    shares = {version: share for one in routes(home) for version, share in one.weights.items()}
    for folder in sorted((home / "loop" / "models").glob("m_*")):
        answers = (
            f"answers {shares[folder.name]} % of the conversations" if shares.get(folder.name) else "does not answer"
        )
        try:
            job = read_version(home, folder.name).job
        except TrainingError:
            yield f"trained: {folder.name} (no readable manifest, {answers})"
        else:
            yield f"trained: {folder.name} (tenant {job.tenant}, model {job.model}, {answers})"


_TENANT = click.option(
    "--tenant", default="default", show_default=True, help="Tenant whose requests the version answers."
)
_MODEL = click.option("--model", default="", help="Model that the version belongs to; default: the first served model.")


@models.command("promote")
@click.argument("version")
@_TENANT
@_MODEL
@reason_option
@click.option("--now", is_flag=True, help="Let the version answer all requests immediately, without shadow and canary.")
@json_option
def promote(*, version: str, tenant: str, model: str, reason: str, now: bool, as_json: bool) -> None:
    """Let a trained VERSION answer. Shadow and canary test it first; with --now it answers immediately.

    \b
    Examples:
      weir models promote m_0123456789ab --tenant acme --reason 'tested by hand'
      weir models promote m_0123456789ab --tenant acme --reason 'the canary was inconclusive' --now
    """
    from weir.client import effective_kafka
    from weir.home.api_keys import list_keys
    from weir.operate.routes import pin, start
    from weir.settings import load_settings

    settings = load_settings().settings
    model = model or settings.first_model
    served = settings.served_models().get(model)
    adapters = tuple(served.lora) if served is not None else ()
    command = "weir models promote --now" if now else "weir models promote"
    log_access(settings.home, command, tenant=tenant, model=model, model_version=version)
    if now:
        known = RouteRecord(tenant=tenant, model=model, epoch=0, at=0.0, champion="")
        result: object = pin(settings.home, known, version, by=user_name(), reason=reason, adapters=adapters)
        line = f"{tenant} {model}: {version} answers all requests"
    else:
        kafka = effective_kafka(settings)
        record = asyncio.run(
            start(
                settings.home,
                kafka,
                version,
                tenant=tenant,
                model=model,
                by=user_name(),
                reason=reason,
                adapters=adapters,
            )
        )
        result, line = record, f"{record.retraining_id}: {version} starts; follow it with `weir retraining --follow`"
    print_result(result, line, as_json=as_json)
    if served is None:
        click.echo(
            f"model {model} is not served here; this stack serves {', '.join(settings.served_models())}. Unless another machine serves the "
            "model, no request reaches this version: correct --model or weir.toml",
            err=True,
        )
    tenants = {key.tenant for key in list_keys(settings.home)}
    if tenants and tenant not in tenants:  # in containers, delivery's home has no keys
        click.echo(
            f"tenant {tenant} has no API key in {settings.home}, so no request reaches this version; if --tenant is wrong, undo this with "
            "`weir route kill`, and repeat the command",
            err=True,
        )
    if not now and not settings.delivery.enabled:
        click.echo(
            "[delivery] enabled is false: unless delivery runs elsewhere (as in containers), set it, and restart the stack",
            err=True,
        )


@models.command("rollback")
@_TENANT
@_MODEL
@reason_option
@json_option
def rollback(*, tenant: str, model: str, reason: str, as_json: bool) -> None:
    """End a shadow or canary, or undo the last promotion. The previous version answers all requests.

    Example: weir models rollback --tenant acme --reason 'wrong answers'
    """
    from weir.operate.routes import roll_back, routes
    from weir.settings import load_settings

    settings = load_settings().settings
    found = routes(settings.home, tenant=tenant, model=model or settings.first_model)
    if not found:
        raise NotFoundError(
            f"tenant {tenant} has no route of {model or settings.first_model}; `weir route show` lists the routes"
        )
    override = roll_back(settings.home, found[0], by=user_name(), reason=reason)
    text = f"{override.tenant} {override.model}: {override.version} answers all requests"
    answering = {"tenant": override.tenant, "model": override.model, "model_version": override.version}
    try:
        log_access(settings.home, "weir models rollback", **answering)
    finally:
        print_result(override, text, as_json=as_json)


@models.command("verify")
@click.argument("version")
@json_option
def verify(*, version: str, as_json: bool) -> None:
    """Check the signature and digests of a trained version. Exit status 1 if a file was changed.

    Example: weir models verify m_0123456789ab
    """
    from weir.settings import home_folder

    home = home_folder()
    with needing("weir models verify", "loop"):
        from stream.loop.training.signing import verify_version

        manifest = verify_version(home, version)
    job = manifest.job
    made_from = f"dataset {job.dataset_digest[:12]}" if manifest.smaller is None else f"parent {job.parent}"
    text = (
        f"{version}: signature and digests are valid; base {job.base_digest[:12]}\n"
        f"{made_from}, {count_text(len(manifest.files), 'file')}"
    )
    print_result(manifest, text, as_json=as_json)


@models.command("publish")
@click.argument("version")
@json_option
def publish(*, version: str, as_json: bool) -> None:
    """Publish the record of a version again. Use it if Kafka did not answer when the version was made. Idempotent.

    Example: weir models publish m_0123456789ab
    """
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir models publish", "serving,stream,loop"):
        from stream.loop.training.signing import verify_version
        from weir.operate.smaller_models import publish_manifest

        manifest = verify_version(settings.home, version)
        publish_manifest(settings, manifest)
    print_result(manifest, f"{version} is published; `weir why {version}` finds it", as_json=as_json)


@models.command("quantise")
@click.argument("model")
@click.option(
    "--precision", required=True, metavar="int8|int4", help="Bits per weight: int8 is GGUF's Q8_0, int4 its Q4_1."
)
@_TENANT
@json_option
def quantise(*, model: str, precision: str, tenant: str, as_json: bool) -> None:
    """Make a version of MODEL with fewer bits per weight. MODEL is a served model or a version. Prints the version.

    The model must be a GGUF file. The new version has a manifest, a card and a signature as a trained version has, and goes
    through the gate and delivery in the same way. --tenant has an effect only if MODEL is a served model.

    \b
    Examples:
      weir models quantise smollm2-135m-instruct --precision int8
      weir models quantise m_0123456789ab --precision int4
    """
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir models quantise", "serving,stream,loop"), progress_on_stderr() as show:
        from stream.loop.smaller.version import quantise as make
        from weir.operate.smaller_models import parent_of

        made = make(settings.home, parent_of(settings, model, tenant), precision, show)
    _print_made(settings, made, as_json=as_json)


@models.command("prune")
@click.argument("model")
@click.option("--layers", required=True, type=int, help="Number of layers to remove.")
@click.option("--text", type=click.Path(path_type=Path, dir_okay=False), help="JSON Lines file with prompt and completion; default: the language reference of Python.")  # fmt: skip
@click.option("--steps", default=100, show_default=True, type=WholeRange(1), help="Steps of the distillation.")
@click.option("--learning-rate", default=1e-3, show_default=True, type=FiniteRange(0, min_open=True), help="Largest learning rate of the distillation.")  # fmt: skip
@click.option("--max-seconds", default=900.0, show_default=True, type=FiniteRange(1), help="Maximum time of the distillation; then the version is made from its last step.")  # fmt: skip
@_TENANT
@json_option
def prune(
    *,
    model: str,
    layers: int,
    text: Path | None,
    steps: int,
    learning_rate: float,
    max_seconds: float,
    tenant: str,
    as_json: bool,
) -> None:
    """Make a version of MODEL with fewer layers. A short distillation against MODEL follows. Prints the version.

    The layers that change the least are removed. Then a LoRA adapter learns the probabilities of the whole model, and is merged.
    MODEL is a served model or a version, and must be a GGUF file of a Llama. --tenant has an effect only if MODEL is a served model.

    \b
    Examples:
      weir models prune smollm2-135m-instruct --layers 4
      weir models prune m_0123456789ab --layers 2 --text passages.jsonl --steps 300
    """
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir models prune", "serving,stream,loop"), progress_on_stderr() as show:
        from stream.loop.smaller.plan import Pruning
        from stream.loop.smaller.version import prune as make
        from weir.operate.smaller_models import distillation, parent_of

        parent = parent_of(settings, model, tenant)
        job = distillation(settings, parent, steps=steps, learning_rate=learning_rate, max_seconds=max_seconds)
        made = make(settings.home, parent, Pruning(layers=layers, job=job, text=text), show)
    _print_made(settings, made, as_json=as_json)


def _print_made(settings: "Settings", made: "VersionManifest", *, as_json: bool) -> None:
    """Publish and print the version; if Kafka does not answer, only warn, because the version exists."""
    from weir.operate.smaller_models import publish_manifest

    try:
        publish_manifest(settings, made)
    except (BrokerError, StackError) as error:
        click.echo(
            f"weir: {made.version} is not on Kafka, so `weir why` does not find it ({error}); run `weir models publish "
            f"{made.version}` later",
            err=True,
        )
    if as_json:
        print_json(made)
        return
    before, after = made.numbers["parent_size_bytes"] / _MIB, made.numbers["size_bytes"] / _MIB
    click.echo(f"{made.version}: {made.job.method} of {made.job.parent}, {after:.0f} MiB instead of {before:.0f} MiB")
    if "loss" in made.numbers:
        click.echo(
            f"{count_text(round(made.numbers['step']), 'step')}, divergence {made.numbers['loss_before']:.3f} to {made.numbers['loss']:.3f} nats per token"
        )
    click.echo(f"weir gate {made.version}")


@models.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--rounds", default=3, show_default=True, type=WholeRange(1), help="Speed measurements of each model, in turn."
)
@json_option
def compare(*, names: tuple[str, ...], rounds: int, as_json: bool) -> None:
    """Measure and compare served models and versions. Each runs in the engine that serves it, and is compared with the first.

    Perplexity is measured on held-out passages of Python's language reference. Tasks and safety are the sets of the gate, and
    Weir's detectors score the answers. All models are in memory at the same time. The command needs some minutes and an idle machine.

    Example: weir models compare smollm2-135m-instruct m_0123456789ab
    """
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir models compare", "serving,stream,loop"), progress_on_stderr() as show:
        from weir.quality.model_comparison import compare_models, table

        found = compare_models(settings, names, rounds, show)
    print_rows(found, *table(found), "", as_json=as_json)
