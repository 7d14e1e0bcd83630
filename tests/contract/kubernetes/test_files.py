"""Every object of deploy/kubernetes is valid against the schema of its kind and agrees with Weir. Needs no cluster and no kubectl."""

import copy
import json
import re
import tomllib
from urllib.parse import urlsplit

import pytest
from support.cases import cases
from support.manifests import FOLDER, documents, pod_specs, problems

from stream.settings import KafkaSettings
from stream.wire.topics import CHANGELOG_CONFIG
from weir.component.components import COMPONENTS
from weir.settings import Settings

CASES = cases(__file__)

_TABLE = FOLDER.parent / "kafka" / "acls.txt"
_PLAIN = ("kustomization.yaml", "workers.yaml", "names.yaml", "patch.yaml")
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name not in _PLAIN)
OBJECTS = [(path, one) for path in FILES for one in documents(path.read_text(encoding="utf-8"))]
IDS = [f"{path.relative_to(FOLDER)}:{one['kind']}/{one['metadata']['name']}" for path, one in OBJECTS]
PODS = [found for _, one in OBJECTS for found in pod_specs(one)]
CONTAINERS = [(f"{pod}/{one['name']}", one) for pod, _, spec in PODS for one in spec["containers"]]


def of_kind(kind):
    return [one for _, one in OBJECTS if one["kind"] == kind]


@pytest.mark.parametrize("manifest", [one for _, one in OBJECTS], ids=IDS)
def test_it_is_valid_against_the_schema_of_its_kind(manifest):
    assert problems(manifest) == []


def _changed(manifest, path, value):
    place = broken = copy.deepcopy(manifest)
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return broken


@pytest.mark.parametrize(("kind", "path", "value"), CASES["mistakes"])
def test_the_schemas_reject_invalid_objects(kind, path, value):
    assert problems(_changed(of_kind(kind)[0], path, value))


@pytest.mark.parametrize(("name", "spec"), [(name, spec) for name, _, spec in PODS], ids=[name for name, _, _ in PODS])
def test_pods_comply_with_the_restricted_profile(name, spec):
    pod = spec["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["seccompProfile"]) == (True, 10001, {"type": "RuntimeDefault"})
    assert not spec.get("hostNetwork")
    for volume in spec["volumes"]:
        assert volume.keys() - {"name"} <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    for one in spec["containers"]:
        context = one["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})
        assert one["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in one["resources"]["limits"]
        # The metrics port accepts connections while the event loop hangs, and its /healthz fails while Kafka is away.
        alive = one["livenessProbe"]["httpGet"]
        assert alive["port"] != "metrics" or alive["path"] == "/livez"
        # /healthz is 503 while Kafka or one receiver of the bridge is away: as startup probe, it would restart the pod again and again.
        assert alive["path"] != "/livez" or one["startupProbe"]["httpGet"] == alive
        volumes = {"home", *(volume["name"] for volume in spec["volumes"])}
        assert {mount["name"] for mount in one["volumeMounts"]} <= volumes


def test_a_corrected_setting_reaches_the_pods_of_a_stateful_set_that_are_not_ready():
    """With the default, OrderedReady, Kubernetes does not replace a pod that was never ready, although its template changed."""
    policies = {one["metadata"]["name"]: one["spec"].get("podManagementPolicy") for one in of_kind("StatefulSet")}
    assert policies == {"watch": "Parallel", "ledger": "Parallel", "intake": "Parallel"}


def test_a_node_can_be_drained_while_pods_are_not_ready():
    """By default, a PodDisruptionBudget also protects running pods that are not ready, if too few are ready."""
    budgets = {one["metadata"]["name"]: one["spec"] for one in of_kind("PodDisruptionBudget")}
    assert {name: spec.get("unhealthyPodEvictionPolicy") for name, spec in budgets.items()} == {"score": "AlwaysAllow"}


def test_only_the_autoscaler_of_the_ray_head_has_a_service_account_token():
    assert {name for name, _, spec in PODS if spec["automountServiceAccountToken"]} == {"head"}


def test_pods_receive_no_environment_variables_of_services():
    """The service weir-kafka-bootstrap would add WEIR_KAFKA_BOOTSTRAP_SERVICE_HOST, which the settings reject."""
    assert {name for name, _, spec in PODS if spec.get("enableServiceLinks") is not False} == set()


@pytest.mark.parametrize("container", [one for _, one in CONTAINERS], ids=[name for name, _ in CONTAINERS])
def test_containers_start_existing_components_with_existing_settings(container):
    if "command" in container:
        assert container["command"][:3] == ["python", "-m", "weir.component"]
        assert container["command"][3] in COMPONENTS
    for variable in container["env"]:
        section, _, key = variable["name"].removeprefix("WEIR_").lower().partition("__")
        if not variable["name"].startswith("RAY_") and variable["name"] != "WEIR_CONFIG":
            assert key in Settings.model_fields[section].annotation.model_fields, variable


def test_no_ray_container_sends_usage_reports():
    ray = {name: one for name, one in CONTAINERS if one["name"] in {"ray-head", "ray-worker"}}
    assert len(ray) == 2
    for container in ray.values():
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]


def test_the_environment_of_a_container_overrides_no_value_of_weir_toml():
    """A change of weir.toml must take effect in the pods. Only intake overrides a value: its two containers need two metrics ports."""
    hidden = set()
    for path in FOLDER.rglob("weir.toml"):
        values = tomllib.loads(path.read_text())
        for name, container in CONTAINERS:
            for variable in container["env"]:
                section, _, key = variable["name"].removeprefix("WEIR_").lower().partition("__")
                if key in values.get(section, {}):
                    hidden.add((name, variable["name"]))
    assert hidden == {("intake/intake", "WEIR_METRICS__PORT")}


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("weir.toml")), ids=lambda path: path.parent.name)
def test_the_settings_are_valid_and_agree_with_the_topics(path, monkeypatch):
    settings = Settings(**tomllib.loads(path.read_text()))
    assert (settings.metrics.port, settings.metrics.serving_port) == (9464, 9470)
    assert settings.score.precision != "auto", "the pods have separate homes and could choose different precisions"
    declared = {one["metadata"]["name"]: one["spec"] for one in of_kind("KafkaTopic")}
    for topic in settings.kafka.topics():
        spec = declared[topic.name]
        assert spec["partitions"] == topic.partitions
        assert {key: str(value) for key, value in spec["config"].items()} == topic.config()


def test_every_topic_and_changelog_is_declared_with_three_replicas():
    declared = {one["metadata"]["name"]: one["spec"] for one in of_kind("KafkaTopic")}
    changelogs = {f"weir.watch-{table}-changelog" for table in ("streams", "alerts", "retraining")}
    assert declared.keys() == {topic.name for topic in KafkaSettings().topics()} | changelogs
    assert {spec["replicas"] for spec in declared.values()} == {3}
    assert {declared[name]["partitions"] for name in changelogs} == {4}
    for name in changelogs:
        assert CHANGELOG_CONFIG.items() <= {key: str(value) for key, value in declared[name]["config"].items()}.items()


def test_every_client_of_kafka_is_a_separate_user_with_limited_rights():
    users = {one["metadata"]["name"]: one["spec"]["authorization"]["acls"] for one in of_kind("KafkaUser")}
    named = {
        variable["value"]: container["command"][3]
        for _, container in CONTAINERS
        for variable in container["env"]
        if variable["name"] == "WEIR_KAFKA__SASL_USERNAME"
    }
    assert named == {name: name for name in named}
    assert named.keys() <= users.keys()
    acls = [(name, acl["resource"]["name"], acl["operations"]) for name, found in users.items() for acl in found]
    writers = {name for name, resource, allowed in acls if resource == "weir.inference" and "Write" in allowed}
    assert writers == {"shipper", "ledger"}, (
        "the shipper writes records, and the ledger writes corrections from the console"
    )
    assert not any("All" in allowed for _, _, allowed in acls)


@pytest.mark.skipif(not _TABLE.exists(), reason="this tree has no containers for one host, so nothing to agree with")
def test_the_rights_are_those_of_the_containers_on_one_host():
    """`docker compose` has the same rights, except two users: `keda` is only in Kubernetes, and Strimzi replaces `topics`."""
    host = set()
    for line in _TABLE.read_text().splitlines():
        user, kind, names, *operations = line.split() if line.strip() and not line.startswith("#") else ("", "", "", "")
        host |= {
            (user, kind, name, one) for name in names.split(",") for one in operations if user not in {"", "topics"}
        }
    cluster = set()
    for user in of_kind("KafkaUser"):
        for acl in user["spec"]["authorization"]["acls"]:
            resource = acl["resource"]
            pattern = resource["name"] + "*" * (resource["patternType"] == "prefix")
            cluster |= {(user["metadata"]["name"], resource["type"], pattern, one) for one in acl["operations"]}
    assert {right for right in cluster if right[0] != "keda"} == host


def test_traffic_is_denied_by_default():
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind("NetworkPolicy")}
    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name, spec in policies.items():
        for rule in (*spec.get("ingress", []), *spec.get("egress", [])):
            assert rule, f"{name} has a rule that allows everything"
    open_to_all = {name for name, spec in policies.items() for rule in spec.get("ingress", []) if "from" not in rule}
    assert open_to_all == set()
    clients = {name for name, labels, _ in PODS if labels.get("weir.dev/kafka") == "true"}
    assert clients == {name for name, _, spec in PODS if any(v["name"] == "kafka-ca" for v in spec["volumes"])}


def _selected(selector, labels):
    wanted = selector.get("matchLabels", {}).items() <= labels.items()
    return wanted and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", []))


def test_prometheus_scrapes_existing_ports_that_the_network_policy_allows():
    (policy,) = (one["spec"] for one in of_kind("NetworkPolicy") if one["metadata"]["name"] == "metrics")
    admitted = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    asked = set()
    for monitor in of_kind("PodMonitor"):
        pods = [found for found in PODS if _selected(monitor["spec"]["selector"], found[1])]
        assert pods, monitor["metadata"]["name"]
        for name, labels, spec in pods:
            ports = {port["name"]: port["containerPort"] for one in spec["containers"] for port in one.get("ports", [])}
            assert _selected(policy["podSelector"], labels), name
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                assert ports[endpoint["port"]] in admitted, name
                asked.add((name, ports[endpoint["port"]]))
                (job,) = (one["replacement"] for one in endpoint["relabelings"] if one["targetLabel"] == "job")
                assert (job == "weir-replicas") is (endpoint["port"] in {"gateway", "model"}), endpoint
    assert {("head", 9470), ("model", 9470), ("head", 9464), ("intake", 9465)} <= asked


def test_the_rules_are_those_of_deploy_prometheus():
    files = [FOLDER.parent / "prometheus" / "rules" / f"{name}.yml" for name in ("recording", "alerts")]
    groups = [group for path in files for group in documents(path.read_text())[0]["groups"]]
    (rule,) = of_kind("PrometheusRule")
    assert rule["spec"]["groups"] == groups, "run `make reference`"


def test_each_address_of_the_bridge_is_one_alertmanager():
    """Alertmanagers do not share alerts. Behind one name of several, each of them would miss posts and resolve alerts that fire."""
    variables = [variable for _, container in CONTAINERS for variable in container["env"]]
    (value,) = (one["value"] for one in variables if one["name"] == "WEIR_BRIDGE__ALERTMANAGERS")
    pods = [urlsplit(url).hostname.split(".")[0] for url in json.loads(value)]
    assert pods
    assert all(re.fullmatch(r".+-\d", pod) for pod in pods), pods


def test_prometheus_may_list_the_pods_of_weir():
    """The service account of kube-prometheus may list pods only in the namespaces default, kube-system and monitoring."""
    (role,), (binding,) = of_kind("Role"), of_kind("RoleBinding")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "weir"
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == ("Role", role["metadata"]["name"])
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "prometheus-k8s", "namespace": "monitoring"}]


def test_the_additional_policy_admits_the_bridge_to_each_alertmanager():
    """kube-prometheus admits only its own Prometheus to its Alertmanagers. Elsewhere, this policy would block all but the bridge."""
    variables = [variable for _, container in CONTAINERS for variable in container["env"]]
    (value,) = (one["value"] for one in variables if one["name"] == "WEIR_BRIDGE__ALERTMANAGERS")
    addresses = {(urlsplit(url).hostname.split(".")[2], urlsplit(url).port) for url in json.loads(value)}
    (policy,) = (one for one in of_kind("NetworkPolicy") if one["metadata"].get("namespace", "weir") != "weir")
    assert policy["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/part-of"] == "kube-prometheus"
    (rule,) = policy["spec"]["ingress"]
    assert {(policy["metadata"]["namespace"], port["port"]) for port in rule["ports"]} == addresses
    (source,) = rule["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "weir"}
    assert [name for name, labels, _ in PODS if _selected(source["podSelector"], labels)] == ["bridge"]
    assert (
        "kubectl apply -f deploy/kubernetes/components/bridge/alertmanager.yaml" in (FOLDER / "README.md").read_text()
    )


def test_score_scales_by_lag_up_to_the_number_of_partitions():
    (scaled,) = (one["spec"] for one in of_kind("ScaledObject"))
    (trigger,) = scaled["triggers"]
    assert scaled["scaleTargetRef"]["name"] in {one["metadata"]["name"] for one in of_kind("Deployment")}
    assert (trigger["metadata"]["consumerGroup"], trigger["metadata"]["topic"]) == ("weir.score", "weir.inference")
    partitions = {one["metadata"]["name"]: one["spec"]["partitions"] for one in of_kind("KafkaTopic")}
    assert scaled["maxReplicaCount"] == partitions["weir.inference"]
