"""The driver: deploys the application on a running Ray, checks its health, and ends when Ray ends.

The driver runs as the component `serve`. Its health is the endpoint's ``/readyz``. If Ray ends, the driver raises an error, and
supervisord starts the driver again, which deploys the application again.
"""

import asyncio
import contextlib
import hashlib
import importlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Coroutine, MutableMapping
from concurrent.futures import Future
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

import httpx
import msgspec

from serving.errors import DriverError
from serving.ray_local.layout import RayLayout
from serving.settings import HttpSettings, ModelSettings
from stream.pause import pause

if TYPE_CHECKING:
    from serving.deployments import AppArgs

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS = 300.0
_DEPLOY_SECONDS = 600.0
#: vLLM loads weights of many gigabytes, and compiles kernels.
_VLLM_DEPLOY_SECONDS = 3600.0
_WATCH_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_STOP_SECONDS = 8.0
#: Failed connections in a row after which the driver treats Ray as ended.
_RAY_MISSES = 3
#: Characters of an unready endpoint's response that the health message contains.
_SHOWN_CHARACTERS = 200
#: The key begins with "waiting", so that the watcher does not restart `serve`: a restart frees no space.
_NO_ROOM = "waiting for room in the spool"


class _Unready(msgspec.Struct):
    """The answer of an unready endpoint."""

    reasons: dict[str, Any]


def deploy_seconds(models: Collection[ModelSettings]) -> float:
    """Return the time limit of a deployment of `models`; the engine `auto` can be vLLM if vLLM is installed."""
    engines = {model.engine for model in models}
    may_use_vllm = "vllm" in engines or ("auto" in engines and find_spec("vllm") is not None)
    return _VLLM_DEPLOY_SECONDS if may_use_vllm else _DEPLOY_SECONDS


def end_without_ray(error: DriverError) -> NoReturn:
    """Log `error` and exit with status 1 at once, because Ray's own exit waits a minute for a dead Ray head (GCS)."""
    _LOG.error("%s", error)
    logging.shutdown()
    os._exit(1)


async def run_driver(
    args: "AppArgs", *, layout: RayLayout, http: HttpSettings, stop: asyncio.Event, health: MutableMapping[str, object]
) -> None:
    """Deploy the application and check its health until `stop` is set; then delete the application and shut Serve down.

    Call this function once per process, before Ray is imported, because Ray reads its environment at import. `health` contains the reason
    while the endpoint is not ready. Raises DriverError if Ray does not answer within five minutes, Ray ends, or the deployment fails; the
    caller must then call :func:`end_without_ray`.
    """
    os.environ.update(layout.driver_environment())
    health["serving"] = "connecting to Ray"
    if not await _until_stopped(_port_open(layout.address), stop, _CONNECT_SECONDS, f"Ray at {layout.address}"):
        return
    health["serving"] = "deploying"
    deploy = _in_daemon(lambda: _deploy(args, layout, http))
    seconds = deploy_seconds(args.models.values())
    if await _until_stopped(deploy, stop, seconds, "the deployment", _ray_gone(layout)):
        _LOG.info("serving on http://%s:%s/v1", http.host, http.port)
        await _until_stopped(_watch(http, stop, health), stop, math.inf, "serving", _ray_gone(layout))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await _in_daemon(_shut_down)


async def _ray_gone(layout: RayLayout) -> None:
    """Wait until Ray does not answer any more or has restarted; without this check, a deployment would wait a minute for a dead Ray."""
    misses, session = 0, layout.session()
    while misses < _RAY_MISSES and layout.session() == session:
        misses = 0 if await _answers(layout.address) else misses + 1
        await asyncio.sleep(_WATCH_SECONDS)


async def _until_stopped(
    work: Any, stop: asyncio.Event, seconds: float, what: str, gone: Coroutine[Any, Any, None] | None = None
) -> bool:
    """Await `work`; return True when it is done, or False if `stop` is set first.

    Raises DriverError if `work` fails or needs more than `seconds`, or if `gone` returns before `work` is done.
    """
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    going = asyncio.ensure_future(gone) if gone is not None else None
    waited = (task, stopping, going) if going else (task, stopping)
    try:
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return False
        if going is not None and going.done() and not task.done():
            raise DriverError(f"Ray is gone during {what}; Weir deploys again when Ray is back")
        if not task.done():
            raise DriverError(f"{what} was not ready within {seconds:.0f} s; see the logs of ray and serve")
        if (error := task.exception()) is not None:
            raise DriverError(f"{what} failed: {type(error).__name__}: {error}") from error
        return True
    finally:
        for future in waited:
            future.cancel()


def _in_daemon(function: Callable[[], None]) -> asyncio.Future[None]:
    """Run `function` in a daemon thread, because calls of Ray can hang and cannot be cancelled."""
    future = Future[None]()
    future.set_running_or_notify_cancel()  # the thread can then set the result, also after a cancellation of the returned future

    def work() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised again by the future
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name="ray-driver", daemon=True).start()
    return asyncio.wrap_future(future)


async def _port_open(address: str) -> None:
    """Wait until a process listens at `address`; without a listener, Ray's own connection attempt hangs for minutes."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


def _deploy(args: "AppArgs", layout: RayLayout, http: HttpSettings) -> None:
    """Connect to Ray, start Serve with HAProxy, and deploy; block until the replicas are healthy."""
    # Imported here, since Ray reads its environment at import.
    ray: Any = importlib.import_module("ray")
    serve: Any = importlib.import_module("ray.serve")
    app: Any = importlib.import_module("serving.deployments")
    ray.init(address=layout.address, log_to_driver=False, logging_level=logging.WARNING)
    serve.start(proxy_location="HeadOnly", http_options={"host": http.host, "port": http.port})
    deployed = layout.run_dir / "deployed"
    fingerprint = f"{layout.session()} {hashlib.sha256(_identity(args).encode()).hexdigest()}"
    if _runs(serve, app.APP_NAME) and deployed.exists() and deployed.read_text(encoding="ascii") == fingerprint:
        return  # the driver died, not the application: deploying again would restart every replica
    serve.run(app.build(args), name=app.APP_NAME, route_prefix="/")
    deployed.write_text(fingerprint, encoding="ascii")


def _identity(args: "AppArgs") -> str:
    """Return a text that changes with every argument, secrets included, which JSON masks; it must not be stored or logged."""
    secrets = [model.upstream_api_key.get_secret_value() for model in args.models.values()]
    return "\n".join((args.model_dump_json(), *secrets))


def _runs(serve: Any, name: str) -> bool:
    application = serve.status().applications.get(name)
    return application is not None and application.status == "RUNNING"


def _shut_down() -> None:
    serve: Any = importlib.import_module("ray.serve")
    ray: Any = importlib.import_module("ray")
    if ray.is_initialized():
        with contextlib.suppress(ray.exceptions.RayError, TimeoutError, ConnectionError):
            serve.shutdown()
        ray.shutdown()


async def _watch(http: HttpSettings, stop: asyncio.Event, health: MutableMapping[str, object]) -> None:
    """Update `health` every second until `stop`."""
    async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False) as client:
        while not stop.is_set():
            reason = await _unready(client, f"http://{http.host}:{http.port}/readyz")
            for key in ("serving", _NO_ROOM):
                if key in reason:
                    health[key] = reason[key]
                else:
                    health.pop(key, None)
            await pause(stop, _WATCH_SECONDS)


async def _unready(client: httpx.AsyncClient, url: str) -> dict[str, str]:
    """Return {health key: reason}, or {} if the endpoint is ready."""
    started = time.monotonic()
    try:
        answer = await client.get(url)
    except httpx.HTTPError as error:
        seconds = time.monotonic() - started
        return {"serving": f"{url} does not answer ({type(error).__name__} after {seconds:.1f} s)"}
    if answer.status_code == httpx.codes.OK:
        return {}
    key = _NO_ROOM if _reasons(answer) == {"spool"} else "serving"
    return {key: f"{url} returned {answer.status_code}: {answer.text[:_SHOWN_CHARACTERS]}"}


def _reasons(answer: httpx.Response) -> set[str]:
    """Return the keys of the gateway's reasons; HAProxy's own answers have none."""
    with contextlib.suppress(msgspec.DecodeError):
        return set(msgspec.json.decode(answer.content, type=_Unready).reasons)
    return set()


async def _answers(address: str) -> bool:
    try:
        async with asyncio.timeout(_WATCH_SECONDS):
            await _port_open(address)
    except TimeoutError:
        return False
    return True
