"""The objects that `kubectl apply -k` would send, rendered by kustomize: they are valid, and the names to which they refer exist."""

import pytest
import yaml
from support.manifests import FOLDER, pod_specs, problems, rendered

from weir.application import ClusterArgs, build

OVERLAYS = ("cpu", "gpu", "full")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid_against_its_schema(overlay):
    found = {f"{one['kind']}/{one['metadata']['name']}": problems(one) for one in rendered(overlay)}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    assert len(found) == len(rendered(overlay)), "two objects have the same name"
    assert {one["metadata"].get("namespace") for one in rendered(overlay) if one["kind"] != "Namespace"} == {"weir"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_objects_that_pods_name_exist(overlay):
    objects = rendered(overlay)
    maps = {one["metadata"]["name"] for one in objects if one["kind"] == "ConfigMap"}
    users = {one["metadata"]["name"] for one in objects if one["kind"] == "KafkaUser"}
    claims = {one["metadata"]["name"] for one in objects if one["kind"] == "PersistentVolumeClaim"}
    for one in objects:
        for name, _, spec in pod_specs(one):
            for volume in spec["volumes"]:
                if "configMap" in volume:
                    assert volume["configMap"]["name"] in maps, name
                if "secret" in volume:
                    assert volume["secret"]["secretName"] == "weir-cluster-ca-cert", (
                        "Strimzi creates this secret for the cluster `weir`"
                    )
                if "persistentVolumeClaim" in volume:
                    assert volume["persistentVolumeClaim"]["claimName"] in claims
            for container in spec["containers"]:
                assert container["image"].endswith(":0.1.0"), container["image"]
                secrets = [v["valueFrom"]["secretKeyRef"]["name"] for v in container["env"] if "valueFrom" in v]
                assert set(secrets) <= users


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_find_pods(overlay):
    objects = rendered(overlay)
    labels = [found for one in objects for _, found, _ in pod_specs(one)]
    for one in objects:
        if one["kind"] == "Service":
            selector = one["spec"]["selector"]
        elif one["kind"] == "PodDisruptionBudget":
            selector = one["spec"]["selector"]["matchLabels"]
        else:
            continue
        assert any(selector.items() <= found.items() for found in labels), one["metadata"]["name"]
    services = {one["metadata"]["name"] for one in objects if one["kind"] == "Service"}
    assert {one["spec"]["serviceName"] for one in objects if one["kind"] == "StatefulSet"} <= services


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_service_of_clients_selects_only_pods_with_a_proxy(overlay):
    """With HeadOnly, no proxy of Ray Serve listens on the workers, although KubeRay labels them for its own service."""
    objects = rendered(overlay)
    (ray,) = (one for one in objects if one["kind"] == "RayService")
    assert yaml.safe_load(ray["spec"]["serveConfigV2"])["proxy_location"] == "HeadOnly"
    (service,) = (one["spec"] for one in objects if one["metadata"]["name"] == "weir-endpoint")
    selected = {name for name, labels, _ in pod_specs(ray) if service["selector"].items() <= labels.items()}
    assert selected == {"head"}
    assert "http://weir-endpoint.weir:8000/v1" in (FOLDER / "README.md").read_text()


@pytest.mark.parametrize(("overlay", "gpus"), [("cpu", None), ("gpu", 1)])
def test_the_served_application_is_that_of_weir_and_its_replicas_can_be_scheduled(overlay, gpus):
    (service,) = (one["spec"] for one in rendered(overlay) if one["kind"] == "RayService")
    (application,) = yaml.safe_load(service["serveConfigV2"])["applications"]
    assert application["import_path"] == f"{build.__module__}:{build.__name__}"
    assert ClusterArgs(**application.get("args", {}))
    wanted = {one["name"]: one["ray_actor_options"] for one in application["deployments"]}
    assert wanted["Model"].get("num_gpus") == gpus
    cluster = service["rayClusterConfig"]
    (worker,) = cluster["workerGroupSpecs"]
    offered = {
        "Gateway": yaml.safe_load(yaml.safe_load(cluster["headGroupSpec"]["rayStartParams"]["resources"])),
        "Model": yaml.safe_load(yaml.safe_load(worker["rayStartParams"]["resources"])),
    }
    for name, resources in offered.items():
        assert wanted[name]["resources"].keys() == resources.keys()
    spec = worker["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") == gpus
    assert bool(spec.get("nodeSelector")) == bool(spec.get("tolerations")) == bool(gpus)
    assert cluster["enableInTreeAutoscaling"]
    assert worker["minReplicas"] < worker["maxReplicas"]


def test_the_shipper_and_the_gateways_share_a_volume_that_outlives_the_pod():
    (service,) = (one for one in rendered("cpu") if one["kind"] == "RayService")
    head = next(spec for name, _, spec in pod_specs(service) if name == "head")
    homes = {
        container["name"]: next(m["name"] for m in container["volumeMounts"] if m["mountPath"] == "/var/lib/weir")
        for container in head["containers"]
    }
    assert homes == {"ray-head": "home", "shipper": "home"}
    assert next(v for v in head["volumes"] if v["name"] == "home")["persistentVolumeClaim"] == {
        "claimName": "weir-spool"
    }
    assert service["spec"]["upgradeStrategy"] == {"type": "None"}, "a second head could not mount the volume"


def test_the_scaler_has_a_user_name_and_a_password():
    """The Kafka scaler of KEDA reads the user name only from its TriggerAuthentication."""
    objects = rendered("cpu")
    (found,) = (one["spec"] for one in objects if one["kind"] == "TriggerAuthentication")
    (named,) = (ref for ref in found["configMapTargetRef"] if ref["parameter"] == "username")
    (held,) = (o for o in objects if o["kind"] == "ConfigMap" and o["metadata"]["name"] == named["name"])
    users = {one["metadata"]["name"] for one in objects if one["kind"] == "KafkaUser"}
    assert held["data"][named["key"]] in users
    assert {ref["name"] for ref in found["secretTargetRef"] if ref["parameter"] == "password"} <= users


def test_the_loop_is_off_by_default_and_shares_routes_and_versions_with_serving():
    """Only delivery writes routes, only the trainer writes versions, and no two components share a home."""
    assert "trainer" not in {name for one in rendered("cpu") for name, _, _ in pod_specs(one)}
    access = {}
    for one in rendered("full"):
        for name, _, spec in pod_specs(one):
            shared = [v["name"] for v in spec["volumes"] if _claim(v) == "weir-loop"]
            mounts = spec["containers"][0]["volumeMounts"]
            found = {m["mountPath"]: m.get("readOnly", False) for m in mounts if m["name"] in shared}
            access |= {(name, path.removeprefix("/var/lib/weir/")): readonly for path, readonly in found.items()}
    assert {place for place, readonly in access.items() if not readonly} == {
        ("delivery", "routes"),
        ("trainer", "loop/models"),
    }
    assert {place for place, readonly in access.items() if readonly} == {
        ("delivery", "loop/models"),
        ("head", "routes"),
        ("model-gpu", "loop/models"),
        ("model-gpu", "routes"),
        ("trainer", "routes"),
    }


def test_the_trainer_can_write_into_the_parent_of_the_versions():
    """The runtime creates a missing parent of a mount point as root, in the volume; the kubelet creates a subPath with the rights of fsGroup."""
    (trainer,) = (spec for one in rendered("full") for name, _, spec in pod_specs(one) if name == "trainer")
    mounts = {mount["mountPath"]: mount for mount in trainer["containers"][0]["volumeMounts"]}
    assert "/var/lib/weir/loop/models" in mounts
    assert mounts["/var/lib/weir/loop"] == {"name": "home", "mountPath": "/var/lib/weir/loop", "subPath": "loop"}


def _claim(volume):
    return volume.get("persistentVolumeClaim", {}).get("claimName")
