import shlex
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from weir.errors import StackError
from weir.local.plan import Component, Plan, load_plan, save_plan
from weir.local.supervisord.start_supervisord import supervisord_config


def make_plan(home: Path) -> Plan:
    component = Component(name="score", argv=["python"], address="a", health_url="http://127.0.0.1:1/healthz")
    broker = {"broker": "apache", "bootstrap": "127.0.0.1:1"}
    return Plan(home=str(home), run_dir="/tmp/weir-x", components=[component], ports={"score": 1}, **broker)


@pytest.mark.parametrize(
    "name", ["plain", "with space", "per%cent", "100%(home)s", "a%2Fb", 'quo"te', "a #2", "100% ;b"]
)
def test_supervisord_reads_any_name_of_a_home(name, tmp_path):
    home = tmp_path / name
    for folder in ("logs", "state"):
        (home / folder).mkdir(parents=True)
    file = tmp_path / "supervisord.conf"
    file.write_text(supervisord_config(make_plan(home), tmp_path / "supervisor.sock"))
    options = ServerOptions()
    options.realize(["-c", str(file)])
    programs = {program.name: program for group in options.process_group_configs for program in group.process_configs}
    assert programs["score"].stdout_logfile == f"{home}/logs/score.log"
    assert shlex.split(programs["score"].command)[-2:] == [str(home), "score"]
    assert {name: program.autostart for name, program in programs.items()} == {"score": False, "watcher": True}
    retries = {name: program.startretries for name, program in programs.items()}
    assert retries["score"] == 8
    assert (
        retries["watcher"] > 10_000
    )  # the watcher starts a component after the last retry; nothing starts the watcher
    assert "inet_http_server" not in file.read_text()


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = make_plan(tmp_path)
    save_plan(plan)
    assert load_plan(tmp_path) == plan
    with pytest.raises(StackError, match=r"'x'.*score"):
        plan.component("x")


def test_without_a_plan_the_home_is_named(tmp_path):
    with pytest.raises(StackError, match=str(tmp_path)):
        load_plan(tmp_path)
