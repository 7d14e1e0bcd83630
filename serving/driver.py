"""The driver: deploys the application on a running Ray, watches it, and ends when Ray does.

It runs as the component `serve`. Its health is the real endpoint's ``/readyz``; when Ray is gone it raises, so that its
supervisor starts it again, which deploys again.
"""

import asyncio
import contextlib
import hashlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Callable, Coroutine, MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from serving.errors import ServingError
from serving.ray_local.layout import RayLayout
from serving.settings import HttpSettings

if TYPE_CHECKING:
    from serving.deployments import AppArgs

__all__ = ["DriverError", "end_without_ray", "run_driver"]

_LOG = logging.getLogger(__name__)
_CONNECT_SECONDS = 300.0
_DEPLOY_SECONDS = 600.0
_WATCH_SECONDS = 1.0
_ANSWER_SECONDS = 5.0
_STOP_SECONDS = 8.0
_RAY_MISSES = 3


class DriverError(ServingError):
    """Ray cannot be reached, or the application cannot be deployed; the supervisor should start the driver again."""


def end_without_ray(error: DriverError) -> NoReturn:
    """Log `error` and end this process with status 1 at once: Ray's own exit would ask a dead GCS for a minute."""
    _LOG.error("%s", error)
    logging.shutdown()
    os._exit(1)


async def run_driver(
    args: "AppArgs", *, layout: RayLayout, http: HttpSettings, stop: asyncio.Event, health: MutableMapping[str, object]
) -> None:
    """Deploy, and watch until `stop` is set.

    Call it once in a process, before anything there imports Ray, which reads its environment at import.

    Parameters
    ----------
    args
        Of :func:`serving.deployments.build`.
    layout
        Of the Ray head that runs, or is about to.
    http
        Where the endpoint listens.
    stop
        Set to end: the application is deleted and Serve shut down, in a few seconds.
    health
        Filled with reasons while the endpoint is not ready.

    Raises
    ------
    DriverError
        Ray does not answer in five minutes, or went away, or the deployment failed; end with :func:`end_without_ray`.
    """
    os.environ.update(layout.driver_environment())
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line a second says nothing
    health["serving"] = "connecting to Ray"
    if not await _until_stopped(_port_open(layout.address), stop, _CONNECT_SECONDS, f"Ray at {layout.address}"):
        return
    health["serving"] = "deploying"
    deploy = _in_daemon(lambda: _deploy(args, layout, http))
    if await _until_stopped(deploy, stop, _DEPLOY_SECONDS, "the deployment", _ray_gone(layout)):
        _LOG.info("serving on http://%s:%s/v1", http.host, http.port)
        await _watch(layout, http, stop, health)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(_in_daemon(_shut_down), _STOP_SECONDS)


async def _ray_gone(layout: RayLayout) -> None:
    """Return when Ray no longer answers: a deployment that waits for a dead Ray would wait a minute."""
    misses = 0
    while misses < _RAY_MISSES:
        misses = 0 if await _answers(layout.address) else misses + 1
        await asyncio.sleep(_WATCH_SECONDS)


async def _until_stopped(
    work: Any, stop: asyncio.Event, seconds: float, what: str, gone: Coroutine[Any, Any, None] | None = None
) -> bool:
    """Await `work`; False where `stop` came first; raises DriverError where it failed, took too long or Ray was `gone`."""
    task = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    going = asyncio.ensure_future(gone) if gone is not None else None
    waited = (task, stopping, going) if going else (task, stopping)
    try:
        await asyncio.wait(waited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return False
        if going is not None and going.done() and not task.done():
            raise DriverError(f"Ray went away during {what}; it is deployed again when Ray is back")
        if not task.done():
            raise DriverError(f"{what} was not ready in {seconds:.0f} s; see the logs of ray and serve")
        if (error := task.exception()) is not None:
            raise DriverError(f"{what} failed: {type(error).__name__}: {error}") from error
        return True
    finally:
        for one in waited:
            one.cancel()


def _in_daemon(function: Callable[[], None]) -> asyncio.Future[None]:
    """Run `function` in a thread that ends with the process: Ray's calls may hang, and cannot be cancelled."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def work() -> None:
        error: BaseException | None = None
        try:
            function()
        except BaseException as raised:  # noqa: BLE001 - passed on to who awaits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=work, name="ray-driver", daemon=True).start()
    return future


async def _port_open(address: str) -> None:
    """Return when something listens at `address`: Ray's own connecting hangs for minutes where nothing does."""
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
    """Connect, start Serve with its edge, deploy; blocks until the replicas are healthy."""
    # Ray reads its environment at import, and a process that only plans to deploy has no need of it.
    ray: Any = importlib.import_module("ray")
    serve: Any = importlib.import_module("ray.serve")
    app: Any = importlib.import_module("serving.deployments")
    ray.init(address=layout.address, log_to_driver=False, logging_level=logging.WARNING)
    serve.start(proxy_location="HeadOnly", http_options={"host": http.host, "port": http.port})
    note = layout.run_dir / "deployed"
    fingerprint = f"{layout.session()} {hashlib.sha256(args.model_dump_json().encode()).hexdigest()}"
    if _runs(serve, app.APP_NAME) and note.exists() and note.read_text(encoding="ascii") == fingerprint:
        return  # a driver died, not the application: deploying again would restart every replica
    serve.run(app.build(args), name=app.APP_NAME, route_prefix="/")
    note.write_text(fingerprint, encoding="ascii")


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


async def _watch(
    layout: RayLayout, http: HttpSettings, stop: asyncio.Event, health: MutableMapping[str, object]
) -> None:
    """Keep `health` true until `stop`; raises DriverError when Ray is gone."""
    misses, session = 0, layout.session()
    async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=False) as client:
        while not stop.is_set():
            reason = await _unready(client, f"http://{http.host}:{http.port}/readyz")
            if reason is None:
                health.pop("serving", None)
            else:
                health["serving"] = reason
            misses = 0 if await _answers(layout.address) else misses + 1
            if misses >= _RAY_MISSES or layout.session() != session:
                raise DriverError(f"Ray at {layout.address} is gone; it is deployed again when Ray is back")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _WATCH_SECONDS)


async def _unready(client: httpx.AsyncClient, url: str) -> str | None:
    started = time.monotonic()
    try:
        answer = await client.get(url)
    except httpx.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__} after {time.monotonic() - started:.1f} s)"
    return None if answer.status_code == 200 else f"{url} says {answer.status_code}: {answer.text[:200]}"


async def _answers(address: str) -> bool:
    try:
        await asyncio.wait_for(_port_open(address), _WATCH_SECONDS)
    except TimeoutError:
        return False
    return True
