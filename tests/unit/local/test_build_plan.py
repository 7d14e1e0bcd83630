import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from serving import driver
from serving.ray_local import layout
from stream import child_process
from stream.errors import BrokerError
from stream.kafka import clients
from stream.loop.training import agent
from stream.loop.training import run as run_module
from stream.settings import KafkaSettings
from weir.errors import StackError
from weir.home.ports import PORT_NAMES
from weir.local import build_plan as module
from weir.local import doctor
from weir.local.broker.kafka_jars import ensure_jars
from weir.local.broker.launch import BrokerPlan, plan_broker
from weir.local.prometheus_targets import stack_targets
from weir.settings import Loaded, Settings


def names(plan):
    return [component.name for component in plan.components]


@pytest.fixture
def ports():
    return {name: 20_000 + 100 * number for number, name in enumerate([*PORT_NAMES, *layout.PORT_NAMES])}


@pytest.fixture
def build(ports, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "broker_command", lambda *_: ["broker"])

    def build(kind="apache", only=(), **sections):
        settings = Settings(home=tmp_path, **sections)
        broker = BrokerPlan(kind=kind)
        return module.prepare_broker(module.build_plan(settings, broker, ports, Path("/tmp/weir-x"), only), broker)

    return build


def test_serving_has_a_higher_priority_than_monitoring(build):
    niceness = {component.name: component.niceness for component in build().components}
    assert {name for name, value in niceness.items() if value == 0} == {"ray", "serve"}
    assert len(set(niceness.values())) == 2


def test_the_start_order_of_a_whole_stack(build):
    plan = build()
    assert names(plan) == ["broker", "ray", "mlflow", "serve", "shipper", "score", "watch", "ledger"]
    assert plan.component("serve").after == []  # no dependency on Ray, because the driver waits for Ray
    assert {plan.component(name).after[0] for name in ("shipper", "score", "watch", "ledger")} == {module.TOPICS}
    assert all("127.0.0.1" in component.health_url for component in plan.components)


@pytest.mark.parametrize(
    ("host", "address"), [("::1", "[::1]"), ("::", "[::1]"), ("[::1]", "[::1]"), ("0.0.0.0", "127.0.0.1"), ("a", "a")]
)
def test_the_addresses_of_metrics_are_valid_in_a_url(build, tmp_path, host, address):
    plan = build(metrics={"host": host}, intake={"enabled": True, "host": host})
    score = plan.component("score")
    port = plan.ports["score"]
    assert (score.metrics, score.health_url) == (f"{address}:{port}", f"http://{address}:{port}/healthz")
    assert urlsplit(plan.component("intake").address).port == Settings().intake.port
    (found,) = {target.address for target in stack_targets(tmp_path, plan) if target.name == "score"}
    assert found == score.metrics


@pytest.mark.parametrize(
    ("name", "section", "after", "monitors"),
    [
        ("sentinel", {"enabled": True}, ["serve"], True),
        ("bridge", {"alertmanagers": ["http://127.0.0.1:9093"]}, [module.TOPICS], True),
        ("intake", {"enabled": True}, [], False),
    ],
)
def test_optional_components_start_if_their_section_enables_them(build, name, section, after, monitors):
    assert name not in names(build())
    component = build(**{name: section}).component(name)
    assert (component.after, component.argv[-1], component.niceness > 0) == (after, name, monitors)


def test_mlflow_deletes_traces_after_the_set_time(build):
    plan = build(mlflow={"retain_hours": 24})
    assert plan.component("mlflow").argv[-1] == "24"


def test_the_trainer_starts_if_training_is_enabled(build):
    assert "trainer" not in names(build())
    component = build(train={"enabled": True}).component("trainer")
    assert (component.after, component.argv[-1], component.niceness) == ([module.TOPICS], "trainer", 10)


def test_a_trainer_can_write_its_checkpoint_while_kafka_does_not_answer(build):
    component = build(train={"enabled": True}).component("trainer")
    kafka = 2 * clients._REQUEST_TIMEOUT_MS / 1000 + agent._PAUSE_SECONDS  # ask for the end of the log, leave the group
    run = child_process._STOP_SECONDS + run_module._RELEASE_SECONDS + clients._END_SECONDS
    assert component.stop_seconds >= kafka + run


def test_intake_has_its_own_address_and_a_health_check_on_its_metrics_port(build):
    component = build(intake={"enabled": True, "port": 8099}).component("intake")
    assert component.address == "http://127.0.0.1:8099/intake"
    assert component.health_url.endswith(f":{component.metrics.rpartition(':')[2]}/healthz")


def test_with_an_external_kafka_and_without_a_trace_view_neither_is_started(build):
    plan = build("given", kafka=KafkaSettings(bootstrap_servers="kafka:9092"), mlflow={"enabled": False})
    assert {"broker", "mlflow"}.isdisjoint(names(plan))
    assert plan.bootstrap == "kafka:9092"


def test_every_component_of_weir_has_its_own_metrics_port(build):
    metrics = [item.metrics for item in build().components if item.name not in {"broker", "mlflow"}]
    assert all(metrics)
    assert len(set(metrics)) == len(metrics)


def test_selected_components_wait_only_for_each_other(build):
    plan = build(only=("ray", "serve"))
    assert names(plan) == ["ray", "serve"]
    assert build(only=("mlflow",)).component("mlflow").after == []
    assert build("given", only=("shipper",)).component("shipper").after == [module.TOPICS]


@pytest.mark.parametrize(
    ("engine", "installed", "seconds"),
    [("vllm", False, 3600), ("auto", True, 3600), ("auto", False, 600), ("echo", True, 600)],
)
def test_serve_has_the_time_of_its_deployment_to_become_ready(build, monkeypatch, engine, installed, seconds):
    monkeypatch.setattr(driver, "find_spec", lambda name: name if installed else None)
    assert build(models={"m": {"name": "m", "engine": engine}}).component("serve").ready_seconds == 300 + seconds


def test_only_a_chosen_local_broker_gets_a_command(build):
    assert build(only=("broker",)).component("broker").argv == ["broker"]
    assert names(build(only=("ray",))) == ["ray"]
    assert "broker" not in names(build("given"))


def test_a_selected_component_that_needs_kafka_needs_the_broker_too(build):
    with pytest.raises(StackError, match=r"^shipper would wait for Kafka, .*; add --only broker, or set WEIR_KAFKA__"):
        build(only=("ray", "serve", "shipper"))
    assert names(build(only=("shipper", "broker"))) == ["broker", "shipper"]


@pytest.mark.parametrize(
    ("kind", "kafka", "problem"),
    [
        ("apache", {"security_protocol": "SASL_SSL"}, "'SASL_SSL', and the local broker accepts only 'PLAINTEXT'"),
        ("given", {"security_protocol": "SASL_SSL"}, "sasl_username is empty; set .*WEIR_KAFKA__SASL_PASSWORD"),
        ("given", {"security_protocol": "SASL_PLAINTEXT", "sasl_username": "ann"}, "sasl_password is empty"),
        ("given", {"security_protocol": "SSL", "ssl_cafile": "/nowhere/ca.pem"}, "ssl_cafile '/nowhere/ca.pem'"),
    ],
)
def test_an_invalid_kafka_login_is_an_error_before_a_process_starts(build, kind, kafka, problem, monkeypatch):
    with pytest.raises(BrokerError, match=problem):
        build(kind, kafka=kafka)
    assert names(build(kind, only=("ray", "serve"), kafka=kafka)) == [
        "ray",
        "serve",
    ]  # components that do not use Kafka
    monkeypatch.setattr(
        doctor, "load_settings", lambda: Loaded(settings=Settings(kafka=kafka), sources={}, config_path=None)
    )
    if kind == "given":
        kafka["bootstrap_servers"] = "127.0.0.1:1"
    (check,) = [check for check in doctor.diagnose() if check.check == "kafka"]
    assert (check.ok, check.required) == (False, True)
    assert re.search(problem, check.detail)


def test_an_unknown_component_is_an_error(build):
    with pytest.raises(StackError, match=r"shiper.*ray, mlflow, serve, shipper"):
        build("given", only=("shiper",))
    with pytest.raises(StackError, match=r"shiper; it has broker, ray, mlflow, serve, shipper"):
        build(only=("shiper",))


def test_a_fixed_metrics_port_is_used_by_one_process_only(build):
    fixed = {"host": "0.0.0.0", "port": 9464}
    serve = build(only=("ray", "serve"), metrics=fixed).component("serve")
    assert (serve.metrics, serve.health_url) == ("127.0.0.1:9464", "http://127.0.0.1:9464/healthz")
    with pytest.raises(StackError, match=r"9464.*serve, shipper, score, watch, ledger"):
        build(metrics=fixed)


@pytest.mark.parametrize(
    ("kafka", "maven", "kind"),
    [
        ({"bootstrap_servers": "k:1", "broker": "apache"}, False, "given"),
        ({"broker": "apache"}, False, "apache"),
        ({"broker": "embedded"}, True, "embedded"),
        ({"broker": "auto"}, True, "apache"),
        ({"broker": "auto"}, False, "embedded"),
    ],
)
def test_the_broker_is_apache_kafka_or_the_embedded_one_by_setting_and_maven(kafka, maven, kind, monkeypatch, tmp_path):
    monkeypatch.setattr("weir.local.broker.launch.apache_available", lambda: maven)
    plan = plan_broker(KafkaSettings(**kafka), tmp_path)
    assert plan.kind == kind
    assert bool(plan.notice) == (kind == "embedded")
    assert ("mvn is not on PATH" in plan.notice) == (kafka["broker"] == "auto" and kind == "embedded")


@pytest.mark.parametrize(("maven", "kind", "other"), [(True, "embedded", "apache"), (False, "apache", "embedded")])
def test_a_home_keeps_its_broker(maven, kind, other, monkeypatch, tmp_path):
    """With the empty topics of another broker, the ledger would delete its alerts and reviews."""
    monkeypatch.setattr("weir.local.broker.launch.apache_available", lambda: maven)
    (tmp_path / "kafka" / kind).mkdir(parents=True)
    for broker in ("auto", kind):
        assert plan_broker(KafkaSettings(broker=broker), tmp_path).kind == kind
    with pytest.raises(BrokerError, match=rf"'{other}'.*data of the {kind} broker.*new WEIR_HOME.*kafka/{kind}"):
        plan_broker(KafkaSettings(broker=other), tmp_path)
    assert plan_broker(KafkaSettings(bootstrap_servers="k:1"), tmp_path).kind == "given"
    (tmp_path / "kafka" / other).mkdir()
    for broker in (kind, other):
        assert plan_broker(KafkaSettings(broker=broker), tmp_path).kind == broker


def test_apache_without_maven_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr("weir.local.broker.kafka_jars._jar_directory", lambda: tmp_path / "none")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BrokerError, match=r"maven.*WEIR_KAFKA__BROKER=embedded"):
        ensure_jars()
