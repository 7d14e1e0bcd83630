"""Operators' decisions about routes: they change a file of the home that the gateways follow, so they need no Kafka.

The component delivery publishes them, and then removes them from the file. `start` is different: it publishes a blessed version,
which delivery takes through shadow and canary.
"""

import time
from collections.abc import Collection
from pathlib import Path

from stream.loop.delivery.route_store import add_override, read_overrides, read_routes
from stream.loop.training.job import VersionFolder
from stream.loop.training.manifest import read_version
from stream.settings import KafkaSettings
from stream.wire import RetrainingRecord, RouteRecord, canonical_time
from stream.wire.ids import retraining_id
from stream.wire.route_files import BASE, RouteOverride, version_weights, with_overrides
from weir.errors import NotFoundError, SettingsError
from weir.home.api_keys import check_tenant
from weir.operate.retraining_decisions import publish_record


def routes(home: Path, *, tenant: str = "", model: str = "") -> list[RouteRecord]:
    """Return the routes in force, those of `tenant` and `model` if given; raises StreamError if a file is damaged."""
    overrides = read_overrides(home)  # read before the routes, as in the gateways (serving/routes.py)
    found = with_overrides(read_routes(home), overrides).values()
    chosen = [route for route in found if tenant in {"", route.tenant} and model in {"", route.model}]
    return sorted(chosen, key=lambda route: (route.tenant, route.model))


def rollback_version(route: RouteRecord) -> str:
    """Return the version that answers after a rollback: the champion of a shadow or canary, else the previous champion."""
    return route.champion if route.challenger else route.previous or BASE


def pin(  # noqa: PLR0913 - what an operator states
    home: Path, route: RouteRecord, version: str, *, by: str, reason: str, adapters: Collection[str] = ()
) -> RouteOverride:
    """Let `version` answer all requests of the route's tenant and model, from now on.

    `adapters` are the versions that vLLM serves as LoRA adapters; any other version needs merged weights.

    Raises SettingsError, NotFoundError, or TrainingError if the manifest of the version is damaged.
    """
    _check_version(home, version, route.tenant, route.model, adapters)
    if version == BASE and not routes(home, tenant=route.tenant, model=route.model):
        raise NotFoundError(
            f"tenant {route.tenant} has no route of {route.model}, so {BASE} answers already; `weir route show` lists the routes"
        )
    return _override(home, route, version, by=by, reason=reason)


def roll_back(home: Path, route: RouteRecord, *, by: str, reason: str) -> RouteOverride:
    """Let the previous version answer all requests of the route's tenant and model, from now on; raises SettingsError.

    The files of that version are not checked. If they are missing, the base version answers, and the new version still ends.
    """
    return _override(home, route, rollback_version(route), by=by, reason=reason)


def _override(home: Path, route: RouteRecord, version: str, *, by: str, reason: str) -> RouteOverride:
    override = RouteOverride(
        tenant=route.tenant, model=route.model, version=version, at=time.time(), by=by, reason=_stated(reason)
    )
    add_override(home, override)
    return override


def _stated(reason: str) -> str:
    if not reason.strip():
        raise SettingsError("the reason is empty; give --reason, for the next person on call")
    return reason.strip()


async def start(  # noqa: PLR0913 - what an operator states
    home: Path,
    kafka: KafkaSettings,
    version: str,
    *,
    tenant: str,
    model: str,
    by: str,
    reason: str,
    adapters: Collection[str] = (),
) -> RetrainingRecord:
    """Let delivery take `version` through shadow and canary; arguments and errors as `pin`, and BrokerError."""
    _check_version(home, version, tenant, model, adapters)
    if version == BASE:
        raise SettingsError(f"{BASE} answers without shadow and canary; give --now, or use `weir models rollback`")
    for route in routes(home, tenant=tenant, model=model):
        if route.champion == version:
            fix = (
                f"`weir route kill` ends the canary of {route.challenger}"
                if route.challenger
                else "name another version"
            )
            raise SettingsError(f"{version} is the champion of {tenant} / {model} already; {fix}")
        if route.challenger == version:  # delivery would begin again without the evidence, and the request would expire
            raise SettingsError(
                f"{version} is the challenger of {tenant} / {model} already; follow it with `weir retraining --follow`, or give --now"
            )
    at = canonical_time(time.time())
    record = RetrainingRecord(
        retraining_id=retraining_id(tenant, model, (version, f"{at:.6f}"), "blessed"),
        state="blessed",
        reason=_stated(reason),
        tenant=tenant,
        model=model,
        at=at,
        model_version=version,
        by=by,
    )
    return await publish_record(kafka, record, "blessed", source="weir/cli")


def _check_version(home: Path, version: str, tenant: str, model: str, adapters: Collection[str]) -> None:
    if version == BASE:
        return
    check_tenant(tenant)
    try:
        weights = version_weights(home, version)
    except ValueError as error:
        raise SettingsError(f"{error}, or `{BASE}`") from None
    if version not in adapters and not weights.is_file():
        raise NotFoundError(f"{weights} does not exist; `ls {home / 'loop' / 'models'}` shows the trained versions")
    if not VersionFolder.of(home, version).manifest.exists():
        return  # a user made this version without Weir
    job = read_version(home, version).job
    if (job.tenant, job.model) != (tenant, model):
        raise SettingsError(
            f"{version} is a version of tenant {job.tenant}, model {job.model}, and not of tenant {tenant}, model {model};"
            f" give --tenant {job.tenant} --model {job.model}, or name another version"
        )
