from pathlib import Path

import pytest

from serving.ray_local import RayLayout
from stream.errors import BrokerError
from stream.settings import KafkaSettings
from weir.errors import StackError
from weir.home.ports import PORT_NAMES
from weir.local import build_plan as stack
from weir.local.broker.kafka_jars import ensure_jars
from weir.local.broker.launch import BrokerLaunch, BrokerPlan, plan_broker, retention_bytes
from weir.settings import MlflowSection, Settings


@pytest.fixture
def ports():
    return {name: 20_000 + 100 * place for place, name in enumerate([*PORT_NAMES, *RayLayout.port_names()])}


@pytest.fixture
def build(ports, tmp_path, monkeypatch):
    def launched(kind, directory, port, controller_port):
        return BrokerLaunch(kind=kind, argv=["broker"], bootstrap=f"127.0.0.1:{port}")

    monkeypatch.setattr(stack, "launch_broker", launched)

    def build(kind="apache", only=(), **sections):
        settings = Settings(home=tmp_path, **sections)
        return stack.build_plan(settings, BrokerPlan(kind=kind), ports, Path("/tmp/weir-x"), only)

    return build


def test_serving_goes_before_what_watches_it_where_the_cores_are_taken(build):
    niceness = {one.name: one.niceness for one in build().components}
    assert {name for name, value in niceness.items() if value == 0} == {"ray", "serve"}
    assert len(set(niceness.values())) == 2


def test_the_order_of_a_whole_stack(build):
    plan = build()
    names = [one.name for one in plan.components]
    assert names == ["broker", "ray", "mlflow", "serve", "shipper", "score", "watch", "ledger"]
    assert plan.component("serve").after == []  # its driver waits for Ray itself
    assert {plan.component(name).after[0] for name in ("shipper", "score", "watch", "ledger")} == {stack.TOPICS}
    assert all("127.0.0.1" in one.health_url for one in plan.components)


def test_sentinels_are_asked_where_they_are_enabled_and_once_the_endpoint_answers(build):
    assert "sentinel" not in [one.name for one in build().components]
    component = build(sentinel={"enabled": True}).component("sentinel")
    assert component.after == ["serve"]
    assert component.argv[-1] == "sentinel"
    assert component.niceness > 0


def test_the_bridge_is_started_where_there_is_somebody_to_tell(build):
    assert "bridge" not in [one.name for one in build().components]
    component = build(bridge={"alertmanagers": ["http://127.0.0.1:9093"]}).component("bridge")
    assert component.after == [stack.TOPICS]
    assert component.argv[-1] == "bridge"


def test_intake_is_started_where_it_is_enabled_and_waits_for_nobody(build):
    assert "intake" not in [one.name for one in build().components]
    component = build(intake={"enabled": True, "port": 8099}).component("intake")
    assert (component.after, component.argv[-1], component.niceness) == ([], "intake", 0), "it is a gateway's part"
    assert component.address == "http://127.0.0.1:8099/intake"
    assert component.health_url.endswith(f":{component.metrics.rpartition(':')[2]}/healthz")


def test_a_given_kafka_and_no_trace_view_start_neither(build):
    plan = build("given", kafka=KafkaSettings(bootstrap_servers="kafka:9092"), mlflow=MlflowSection(enabled=False))
    assert {"broker", "mlflow"}.isdisjoint(one.name for one in plan.components)
    assert plan.bootstrap == "kafka:9092"


def test_every_process_of_ours_has_a_metrics_port_of_its_own(build):
    metrics = [one.metrics for one in build().components if one.name not in {"broker", "mlflow"}]
    assert all(metrics)
    assert len(set(metrics)) == len(metrics)


def test_some_components_alone_wait_only_for_each_other(build):
    plan = build(only=("ray", "serve"))
    assert [one.name for one in plan.components] == ["ray", "serve"]
    assert build(only=("mlflow",)).component("mlflow").after == []
    assert build(only=("shipper",)).component("shipper").after == [stack.TOPICS]


def test_a_component_that_there_is_none_of_is_refused(build):
    with pytest.raises(StackError, match="no component shiper; it has ray, mlflow, serve, shipper"):
        build("given", only=("shiper",))


def test_a_fixed_metrics_port_is_one_process_s(build):
    fixed = {"host": "0.0.0.0", "port": 9464}
    serve = build(only=("ray", "serve"), metrics=fixed).component("serve")
    assert (serve.metrics, serve.health_url) == ("127.0.0.1:9464", "http://127.0.0.1:9464/healthz")
    with pytest.raises(StackError, match="9464, and serve, shipper, score, watch, ledger would all listen"):
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
def test_which_broker_is_chosen(kafka, maven, kind, monkeypatch):
    monkeypatch.setattr("weir.local.broker.launch.apache_available", lambda: maven)
    plan = plan_broker(KafkaSettings(**kafka))
    assert plan.kind == kind
    assert ("is for trying Weir out" in plan.notice) == (kind == "embedded")
    assert ("mvn is not on PATH" in plan.notice) == (kafka["broker"] == "auto" and kind == "embedded")


def test_apache_without_maven_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr("weir.local.broker.kafka_jars._jar_directory", lambda: tmp_path / "none")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BrokerError, match=r"Debian package `maven`.*WEIR_KAFKA__BROKER=embedded"):
        ensure_jars()


def test_the_embedded_broker_keeps_less():
    kafka = KafkaSettings()
    assert retention_bytes("apache", kafka) == kafka.retention_bytes
    assert retention_bytes("embedded", kafka) == 64 * 1024 * 1024
