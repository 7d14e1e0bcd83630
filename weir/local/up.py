"""Bring a stack up: prepare, start supervisord, start the components, and follow them until Ctrl-C."""

import time
from collections.abc import Collection
from pathlib import Path

from serving.ray_local import short_run_dir
from weir.errors import StackError
from weir.home.api_keys import ensure_first_key, first_key_path
from weir.local import preflight
from weir.local.broker.launch import plan_broker
from weir.local.build_plan import build_plan
from weir.local.create_topics import ensure_topics, topics_pending
from weir.local.down import clear_leftovers, take_down
from weir.local.health.health_probe import probe
from weir.local.plan import Plan, load_plan, save_plan
from weir.local.stack_state import supervisor_runs, write_targets
from weir.local.start_components import Starter
from weir.local.step_reporter import Reporter
from weir.local.supervisord.config_file import WATCHER, log_path
from weir.local.supervisord.start_supervisord import start_supervisord
from weir.settings import Loaded, Settings
from weir.settings.detector_options import refuse_bad_options

__all__ = ["bring_up", "follow", "unhealthy"]

_ALREADY_UP_SECONDS = 60.0


def bring_up(loaded: Loaded, reporter: Reporter, only: Collection[str] = ()) -> tuple[Plan, bool]:
    """Bring the stack of these settings up, or the components that `only` names; return its plan, and whether it was started now.

    Raises
    ------
    SettingsError
        A detector's option that it does not take; nothing was started.
    StackError
        Something is missing, busy or does not start; whatever was started is stopped again.
    """
    refuse_bad_options(loaded)
    home = loaded.settings.home
    preflight.make_home(home)
    with preflight.exclusive(home):
        if supervisor_runs(home):
            return _already_up(home, reporter), False
        left = clear_leftovers(home)
        if left:
            reporter.say(f"ended {left} processes that an earlier run had left")
        plan = _prepare(loaded.settings, reporter, only)
        try:
            _start(loaded, plan, reporter)
        except BaseException:  # Ctrl-C too: nothing that was started stays behind
            reporter.say("stopping what was started")
            take_down(home, reporter)
            raise
        return plan, True


def _already_up(home: Path, reporter: Reporter) -> Plan:
    plan = load_plan(home)
    deadline = time.monotonic() + _ALREADY_UP_SECONDS
    told = False
    while bad := unhealthy(plan):
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack in {home} is up, but not healthy after {_ALREADY_UP_SECONDS:.0f} s: {'; '.join(bad)}. "
                "See `weir status`; `weir down`, then `weir up` starts it anew"
            )
        if not told:
            reporter.say(f"the stack in {home} is up; waiting for: {'; '.join(bad)}")
            told = True
        time.sleep(1)
    reporter.say(f"the stack in {home} is already up and healthy")
    return plan


def unhealthy(plan: Plan) -> list[str]:
    """Return ``name: reason`` of every component that is not well."""
    answers = [(one.name, probe(one.health_url)) for one in plan.components]
    return [f"{name}: {health.detail}" for name, health in answers if not health.ok]


def _prepare(settings: Settings, reporter: Reporter, only: Collection[str]) -> Plan:
    home = settings.home
    serves = not only or "serve" in only
    if serves:
        preflight.refuse_busy_http_port(settings)
        if ensure_first_key(home):
            reporter.say(f"made the first API key, for tenant default: {first_key_path(home)}")
    ports, moved = preflight.stack_ports(home)
    if moved:
        reporter.say(f"taken by others meanwhile, so chosen anew: {', '.join(moved)} (see {home}/ports.json)")
    with reporter.steps(serves + 1) as steps:
        if serves:
            steps.begin("model", f"{settings.model.name}: looking for its weights")
            files = preflight.ensure_model(settings, lambda what, share: steps.waiting("model", what, share))
            steps.ready("model", f"{settings.model.name}, {files.version}, from {files.source}")
        broker = plan_broker(settings.kafka)
        steps.begin("kafka", f"preparing: {broker.kind}")
        plan = build_plan(settings, broker, ports, short_run_dir(home), only)
        steps.ready("kafka", f"{broker.kind} at {plan.bootstrap}")
    if broker.notice:
        reporter.say(f"note: {broker.notice}")
    save_plan(plan)
    write_targets(home, plan)
    return plan


def _start(loaded: Loaded, plan: Plan, reporter: Reporter) -> None:
    settings = loaded.settings
    supervisord = start_supervisord(plan, loaded.config_path)

    def make_topics() -> str:
        made = ensure_topics(settings, plan.broker, plan.bootstrap)
        return f"created {len(made)}: {', '.join(made)}" if made else "all there"

    starter = Starter(plan, supervisord, reporter, make_topics)
    with reporter.steps(starter.steps):
        starter.run()
    pending = topics_pending(settings.home)
    pending.unlink(missing_ok=True)
    if starter.without_kafka:
        pending.touch()


def follow(plan: Plan, reporter: Reporter) -> None:
    """Show the supervisor's story until the stack is stopped (by ``weir down``) or this process is interrupted."""
    home = Path(plan.home)
    story = log_path(home, WATCHER)
    offset = story.stat().st_size if story.exists() else 0
    while supervisor_runs(home):
        size = story.stat().st_size if story.exists() else 0
        if size < offset:  # rotated
            offset = 0
        if size > offset:
            with story.open("rb") as file:
                file.seek(offset)
                text = file.read()
            offset += len(text)
            reporter.say(text.decode(errors="replace").rstrip("\n").replace("[", r"\["))
        time.sleep(0.5)
    reporter.say("the stack was stopped")
