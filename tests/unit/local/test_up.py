"""``weir up`` while the stack runs."""

import io
import shutil
import signal

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console
from support.stack import free_port

from weir.cli import demo
from weir.cli.up import interrupt_on_signals, print_addresses
from weir.errors import StackError
from weir.home.api_keys import ensure_first_key, first_key_path, list_keys, revoke_key
from weir.local import preflight, up
from weir.local.doctor import diagnose
from weir.local.health.health_probe import Health
from weir.local.plan import Component, Plan, load_plan, save_plan
from weir.local.preflight import check_disk
from weir.local.step_reporter import StepReporter
from weir.operate.status import gather_status
from weir.settings import Settings, load_settings, shown_values


@pytest.fixture
def running(tmp_path, monkeypatch):
    """The settings of a running, healthy stack of broker and score."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_HTTP__PORT", str(free_port()))  # a stack of the developer can use the default port
    components = [Component(name=name, argv=[name], address="", health_url="") for name in ("broker", "score")]
    save_plan(
        Plan(home=str(tmp_path), run_dir="/tmp/w", components=components, broker="given", bootstrap="x:1", ports={})
    )
    monkeypatch.setattr(up, "supervisor_runs", lambda _home: True)
    monkeypatch.setattr(up, "probe", lambda _url: Health(ok=True, detail=""))
    return load_settings()


def again(loaded, *only):
    return up.bring_up(loaded, StepReporter(Console(file=io.StringIO())), only)


def test_a_running_stack_is_not_changed(running):
    for only in ((), ("score",)):
        plan, fresh = again(running, *only)
        assert ([component.name for component in plan.components], fresh) == (["broker", "score"], False)


@pytest.mark.parametrize(
    ("file", "note"),
    [
        ("", ""),
        (
            "[tenants.a]\nbucket_seconds = 20\n[kafka]\ntopic_prefix = 'x.'\n",
            "settings in [kafka], [tenants] have changed since",
        ),
    ],
)
async def test_settings_that_changed_since_the_start_are_named(running, tmp_path, monkeypatch, file, note):
    plan = load_plan(tmp_path)
    save_plan(msgspec.structs.replace(plan, settings=shown_values(running.settings)))
    (tmp_path / "weir.toml").write_text(file)
    loaded = load_settings()
    up.bring_up(loaded, StepReporter(Console(file=(out := io.StringIO()), soft_wrap=True)))
    assert f"note: {note}" in out.getvalue() if note else "note: " not in out.getvalue()
    (tmp_path / "ports.json").write_text("{}")
    monkeypatch.setattr("weir.operate.status.supervisor_runs", lambda _home: True)
    found = (await gather_status(loaded.settings)).note
    assert found.startswith(note)
    assert bool(found) is bool(note)


def test_a_component_that_the_running_stack_lacks_is_an_error_that_names_its_components(running):
    with pytest.raises(StackError, match=r"no component foo; it has broker, score\. To start other"):
        again(running, "score", "foo")


def test_a_signal_that_nohup_ignores_stays_ignored():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        interrupt_on_signals()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Begun(Exception):
    """The demo sends its requests."""


@pytest.mark.parametrize(
    ("names", "options", "error"),
    [
        (("serve",), [], "no component delivery, trainer, which the closed loop needs; run `.*weir down` and"),
        (("serve", "trainer"), [], "no component delivery, which"),
        (("serve", "trainer", "delivery"), [], ""),
        (("serve",), ["--quick"], ""),
    ],
)
def test_a_demo_begins_only_if_the_running_stack_has_its_components(running, monkeypatch, names, options, error):
    def begin(*_arguments, **_options):
        raise Begun

    parts = [Component(name=name, argv=[name], address="", health_url="") for name in names]
    monkeypatch.setattr(up, "load_plan", lambda home: msgspec.structs.replace(load_plan(home), components=parts))
    monkeypatch.setattr(demo, "_LOOP", {})
    monkeypatch.setattr(demo, "interrupt_on_signals", lambda: None)
    monkeypatch.setattr("weir.demo.run.run_demo", begin)
    done = CliRunner().invoke(demo.demo, options)
    with pytest.raises(StackError if error else Begun, match=error or None):
        raise done.exception


@pytest.fixture
def free(monkeypatch, tmp_path):
    """Return a function that sets the free space of the disk, in MiB."""
    usage = shutil.disk_usage(tmp_path)
    return lambda mib: monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=mib * 2**20))


def test_a_full_disk_is_an_error_before_a_process_starts(running, monkeypatch, free):
    monkeypatch.setattr(up, "supervisor_runs", lambda _home: False)
    free(63)
    with pytest.raises(StackError, match=r"^63 MiB are free on the disk of .* at least 64 MiB; free space .*WEIR_HOME"):
        again(running)
    assert not (running.settings.home / "ports.json").exists()


def test_an_unknown_component_is_an_error_before_a_step_begins(running, monkeypatch):
    monkeypatch.setattr(up, "supervisor_runs", lambda _home: False)
    reporter = StepReporter(Console(file=(shown := io.StringIO())))
    with pytest.raises(StackError, match=r"^this stack has no component foo; it has broker, ray, "):
        up.bring_up(running, reporter, ("serve", "foo"))
    assert shown.getvalue() == ""
    assert not (running.settings.home / "api-key").exists()


def test_a_disk_that_is_too_small_for_doctor_is_reported_as_a_note(tmp_path, free):
    free(4096)
    assert check_disk(tmp_path) == ""
    free(4095)
    assert check_disk(tmp_path).startswith(f"4095 MiB are free on the disk of {tmp_path}; a new stack needs 4096 MiB")
    assert not next(check for check in diagnose() if check.check == "disk").ok


def test_a_damaged_console_token_does_not_end_the_command_of_a_running_stack(tmp_path):
    (tmp_path / "console-token").write_text("")
    (tmp_path / "ports.json").write_text('{"console": 20001}')
    ledger = Component(name="ledger", argv=["x"], address="http://x", health_url="")
    plan = Plan(home=str(tmp_path), run_dir="/tmp/w", components=[ledger], broker="given", bootstrap="x:1", ports={})
    reporter = StepReporter(Console(file=(out := io.StringIO()), soft_wrap=True))
    print_addresses(Settings(home=tmp_path), plan, reporter)
    line = next(line for line in out.getvalue().splitlines() if "console" in line)
    assert "not available: " in line
    assert "has 0 characters, a token has 43; delete it" in line


def test_a_revoked_api_key_is_not_shown_as_the_key_of_the_stack(tmp_path):
    def shown(*names):
        components = [Component(name=name, argv=[name], address="http://x", health_url="") for name in names]
        plan = Plan(
            home=str(tmp_path), run_dir="/tmp/w", components=components, broker="given", bootstrap="x:1", ports={}
        )
        reporter = StepReporter(Console(file=(out := io.StringIO()), soft_wrap=True))
        print_addresses(Settings(home=tmp_path, console={"enabled": False}), plan, reporter)
        return next(line for line in out.getvalue().splitlines() if "API key" in line)

    ensure_first_key(tmp_path)
    path = first_key_path(tmp_path)
    assert shown("serve").endswith(f"in {path}")
    revoke_key(tmp_path, list_keys(tmp_path)[0].id)
    assert f"{path} has no valid key; `" in shown("serve")
    assert shown("score").endswith("elsewhere")


@pytest.mark.parametrize("folder", ["/home/ann/weir/.venv", "/home/w\u00e9ir-2.0_a/.venv", "/opt/a@b/.venv"])
def test_ray_can_start_from_a_path_of_letters_digits_and_some_signs(folder):
    assert preflight.environment_problem(folder) == ""


@pytest.mark.parametrize("sign", [" ", "'", '"', "\\", "$", ";", "#", "("])
def test_a_path_from_which_ray_cannot_start_is_an_error_before_a_process_starts(sign, monkeypatch):
    problem = preflight.environment_problem(f"/home/ann{sign}s/.venv")
    assert f"the path has the character {sign!r}; move the folder" in problem
    monkeypatch.setattr(preflight, "environment_problem", lambda: problem)
    with pytest.raises(StackError, match="Ray cannot start from"):
        preflight.check_environment()


@pytest.mark.parametrize("enabled", [False, True])
def test_a_folder_of_intake_that_nothing_empties_is_named_at_the_start(running, monkeypatch, enabled):
    def prepare(*_):
        raise Begun

    monkeypatch.setattr(up, "supervisor_runs", lambda _home: False)
    monkeypatch.setattr(up, "_prepare", prepare)
    monkeypatch.setenv("WEIR_INTAKE__ENABLED", str(enabled))
    shown = io.StringIO()
    for folder in (running.settings.home / "other", running.settings.home / "intake"):
        assert "can contain prompts" not in shown.getvalue()
        folder.mkdir()
        with pytest.raises(Begun):
            up.bring_up(load_settings(), StepReporter(Console(file=shown, width=1000)))
    assert (f"{folder} can contain prompts" in shown.getvalue()) is not enabled
