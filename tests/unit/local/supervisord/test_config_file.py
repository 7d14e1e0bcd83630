import configparser
import shlex
from pathlib import Path

import pytest

from weir.errors import StackError
from weir.local.plan import Component, Plan, load_plan, save_plan
from weir.local.supervisord.config_file import supervisord_config


def make_plan(home: Path) -> Plan:
    component = Component(name="score", argv=["python"], address="a", health_url="http://127.0.0.1:1/healthz")
    broker = {"broker": "apache", "bootstrap": "127.0.0.1:1"}
    return Plan(home=str(home), run_dir="/tmp/weir-x", components=[component], ports={"score": 1}, **broker)


@pytest.mark.parametrize("name", ["plain", "with space", "per%cent", "100%(home)s", 'quo"te'])
def test_the_ini_file_escapes_any_name_of_a_home(name):
    home = Path("/srv") / name
    text = supervisord_config(make_plan(home), Path("/tmp/weir-x/supervisor.sock"))
    parser = configparser.ConfigParser()
    parser.read_string(text)
    assert parser["program:score"]["stdout_logfile"] == f"{home}/logs/score.log"
    assert shlex.split(parser["program:score"]["command"])[-2:] == [str(home), "score"]
    assert parser["program:score"]["autostart"] == "false"
    assert parser["program:watcher"]["autostart"] == "true"
    assert "inet_http_server" not in parser


def test_a_plan_round_trips(tmp_path):
    plan = make_plan(tmp_path)
    save_plan(plan)
    assert load_plan(tmp_path) == plan
    with pytest.raises(StackError, match=r"'x'.*score"):
        plan.component("x")


def test_without_a_plan_the_home_is_named(tmp_path):
    with pytest.raises(StackError, match=str(tmp_path)):
        load_plan(tmp_path)
