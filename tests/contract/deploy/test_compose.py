"""The compose files, as parsed by the real docker-compose."""

import json
import re
import shutil
import subprocess
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from support.compose import BASE, ROOT, SECURE, compose, model
from support.gobuilds import COLLECTOR_VERSION

from weir.component.components import COMPONENTS
from weir.console.addresses import console_link
from weir.settings import Settings, load_settings

ONE_SHOT = {"topics", "acls", "cli", "operator"}
#: The image of the collector has no program for a health check; mlflow-retention only repeats one request.
WITHOUT_HEALTH = {"collector", "mlflow-retention"}
EXACT = re.compile(r"[a-z0-9./-]+:v?\d+\.\d+\.\d+")


@pytest.fixture(scope="module")
def plain():
    return model(profiles=("*",))


@pytest.fixture(scope="module")
def secure():
    return model(BASE, SECURE, profiles=("*",))


@pytest.fixture(scope="module", params=["plain", "secure"])
def stack(request):
    return request.getfixturevalue(request.param)


def services(stack):
    return stack["services"].items()


def test_the_services_that_up_starts_by_default_and_by_profile():
    default, gpu = set(model()["services"]), set(model(profiles=("gpu",))["services"])
    assert set(model(profiles=("cpu", "loop"))["services"]) == default | {"trainer", "delivery"}
    weir = {"serving", "shipper", "score", "watch", "ledger", "bridge"}
    others = {"kafka", "topics", "collector", "jaeger", "prometheus", "alertmanager", "grafana"}
    others |= {"mlflow", "mlflow-retention"}
    assert default == weir | others
    assert gpu == default - {"serving"} | {"serving-gpu"}


def test_a_link_to_the_console_has_the_published_port(tmp_path):
    shutil.copy(ROOT / BASE, tmp_path)
    (tmp_path / ".env").write_text("CONSOLE_PORT=9100\n")
    ledger = json.loads(compose("config", "--format=json", folder=tmp_path).stdout)["services"]["ledger"]
    names = json.loads(ledger["environment"]["WEIR_CONSOLE__NAMES"])
    settings = Settings(console={"port": ledger["environment"]["WEIR_CONSOLE__PORT"], "names": names})
    (published,) = ledger["ports"]
    assert console_link(settings.model_copy(update={"home": tmp_path})).startswith(
        f"http://{published['host_ip']}:{published['published']}/?token="
    )
    assert published["published"] == "9100"


def test_no_variable_of_the_compose_files_is_a_setting_of_weir():
    done = compose("--file", BASE, "--file", SECURE, "--profile=*", "config", "--variables", "--format=json")
    variables = json.loads(done.stdout)
    assert "GATEWAY_PORT" in variables, done.stderr
    assert [name for name in variables if name.startswith("WEIR_")] == []


def test_images_are_pinned_and_ours_have_the_project_s_version(stack):
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in services(stack):
        assert EXACT.fullmatch(service["image"]), f"{name}: {service['image']}"
        if service["image"].startswith("weir-"):
            assert service["image"].endswith(f":{version}")
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_images_have_the_versions_that_the_tests_use(plain):
    pom = ET.parse(ROOT / "weir/local/broker/pom.xml").getroot()
    kafka = pom.findtext(".//{*}kafka.version")
    images = {name: service["image"] for name, service in services(plain)}
    assert images["kafka"] == f"apache/kafka:{kafka}"
    assert images["collector"].endswith(f":{COLLECTOR_VERSION}")


def test_nothing_is_published_beyond_loopback(stack):
    published = [port for _, service in services(stack) for port in service.get("ports", [])]
    assert published
    assert {port.get("host_ip") for port in published} == {"127.0.0.1"}
    assert all(service.get("network_mode") != "host" for _, service in services(stack))


def test_every_container_has_minimal_privileges(stack):
    for name, service in services(stack):
        user = service["user"].split(":")[0]
        assert user.isdigit(), name
        assert int(user) > 0, name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert not service.get("privileged"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        limits = service["deploy"]["resources"]["limits"]
        assert float(limits.get("cpus", 1)) <= 1, f"{name}: Docker rejects a limit above the processors of the host"
        assert limits["memory"], name


def test_long_running_services_have_a_health_check(stack):
    for name, service in services(stack):
        checked = bool(service.get("healthcheck", {}).get("test"))
        assert checked == (name not in ONE_SHOT | WITHOUT_HEALTH), name
        assert (service["restart"] == "unless-stopped") == (name not in ONE_SHOT), name


def test_services_wait_for_what_they_need(stack):
    for name, service in services(stack):
        for other, wait in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert wait["condition"] == wanted, f"{name} on {other}"
    assert "topics" in stack["services"]["score"]["depends_on"]


def test_every_mounted_file_is_in_the_repository_and_read_only(stack):
    tracked = shell("git", "ls-files", cwd=ROOT).split()
    for name, service in services(stack):
        for mount in service.get("volumes", []):
            if mount["type"] == "bind":
                source = Path(mount["source"]).relative_to(ROOT)
                assert any(Path(path).is_relative_to(source) for path in tracked), f"{name}: {source}"
                assert mount["read_only"], f"{name}: {source}"


def test_jaeger_has_memory_for_the_traces_that_it_keeps(plain):
    """A trace of one chat request needs 33 KiB with Go's garbage (measured)."""
    extensions = yaml.safe_load((ROOT / "deploy/jaeger/config.yaml").read_text())["extensions"]
    needed = extensions["jaeger_storage"]["backends"]["memory"]["memory"]["max_traces"] * 33 * 1024
    assert needed <= int(plain["services"]["jaeger"]["deploy"]["resources"]["limits"]["memory"])


def test_commands_that_load_the_detectors_have_the_memory_for_them(plain):
    """`weir explain`, `weir score` and `weir replay` load the detectors in the container in which they run."""
    (needed,) = re.findall(r"([\d.]+) GB while it loads", (ROOT / "docs/sizing.md").read_text())
    assert int(plain["services"]["cli"]["deploy"]["resources"]["limits"]["memory"]) > float(needed) * 1e9


def test_the_request_path_cannot_reach_kafka_and_shares_its_spool_only_with_the_shipper(stack):
    for name in ("serving", "serving-gpu"):
        service = stack["services"][name]
        assert set(service["networks"]) == {"observe"}
        assert not [key for key in service["environment"] if key.startswith("WEIR_KAFKA")]
    sharing = {name for name, service in services(stack) if "spool" in str(service.get("volumes"))}
    assert sharing == {"serving", "serving-gpu", "shipper"}
    assert set(stack["services"]["kafka"]["networks"]) == {"log"}
    assert stack["networks"]["log"]["internal"]


def test_documented_keys_are_created_in_the_volume_of_the_process_that_reads_them(plain):
    text = (ROOT / "docs/containers.md").read_text()
    homes = {name: _home(service) for name, service in services(plain)}
    created = {
        ("approve" in options, homes[service])
        for service, options in re.findall(r"docker compose (?:exec|run --rm) (\w+) weir keys create (.*)", text)
    }
    assert created == {(False, homes["serving"]), (True, homes["ledger"])}


def _home(service):
    return next((one["source"] for one in service.get("volumes", []) if one["target"] == "/var/lib/weir"), None)


def test_the_gpu_profile_requires_a_gpu(plain):
    service = plain["services"]["serving-gpu"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert service["environment"]["WEIR_MODEL__DEVICE"] == "cuda"
    assert service["networks"]["observe"]["aliases"] == ["serving"]


def test_components_are_started_by_names_that_exist(stack):
    commands = [service.get("command") or [] for _, service in services(stack)]
    started = [command for command in commands if "weir.component" in command]
    assert started
    assert all(command[:3] == ["python", "-m", "weir.component"] for command in started)
    assert {command[3] for command in started} <= set(COMPONENTS)


def test_weir_accepts_the_environment_of_every_service(stack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("kafka-ca", *stack.get("secrets", {})):
        (tmp_path / name).write_text("secret\n")
    asked = 0
    for _, service in services(stack):
        own = {key: value for key, value in (service.get("environment") or {}).items() if key.startswith("WEIR_")}
        if not own:
            continue
        with monkeypatch.context() as context:
            for key, value in own.items():
                context.setenv(key, value.replace("/run/secrets", str(tmp_path)).replace("/etc/weir", str(ROOT)))
            settings = load_settings().settings
        asked += 1
        assert settings.metrics.port == 9464
        assert settings.trace.endpoint == "http://collector:4318/v1/traces"
        if "WEIR_KAFKA__SASL_USERNAME" in own:
            assert settings.kafka.sasl_password.get_secret_value() == "secret"
    assert asked >= 7


def shell(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def test_each_component_has_a_separate_kafka_user(secure):
    granted = {line.split()[0] for line in rules()}
    users = {
        name: service["environment"]["WEIR_KAFKA__SASL_USERNAME"]
        for name, service in services(secure)
        if "WEIR_KAFKA__SASL_USERNAME" in (service.get("environment") or {})
    }
    assert len(set(users.values())) == len(users)
    assert set(users.values()) <= granted
    for name, user in users.items():
        mounted = {secret["source"] for secret in secure["services"][name]["secrets"]}
        assert mounted == {"kafka-ca", f"kafka-user-{user}"}, name
    made = {secret["source"] for secret in secure["services"]["kafka"]["secrets"]}
    assert {f"kafka-user-{user}" for user in granted} <= made


def test_only_the_users_that_need_prompts_can_read_them():
    readers = {
        line.split()[0]
        for line in rules()
        if "Read" in line.split()[3:] and any(covers(name, "weir.inference") for name in line.split()[2].split(","))
    }
    assert readers == {"score", "ledger", "watch", "reader", "trainer"}, (
        "watch reads offsets for a retraining request, and the trainer builds a dataset"
    )


def test_the_loop_shares_only_routes_and_versions_with_serving(plain):
    writers = {}
    for name, service in services(plain):
        for mount in service.get("volumes", []):
            if mount["type"] == "volume" and not mount.get("read_only"):
                writers.setdefault(mount["source"], set()).add(name)
    assert (writers["routes"], writers["versions"]) == ({"delivery"}, {"trainer"})
    assert (writers["delivery"], writers["trainer"]) == ({"delivery"}, {"trainer"})
    readers = {m["source"] for m in plain["services"]["serving"]["volumes"] if m.get("read_only")}
    assert {"routes", "versions"} <= readers


def test_the_user_operator_can_silence_approve_and_label_but_cannot_read_prompts():
    granted = {tuple(line.split()[1:3]): set(line.split()[3:]) for line in rules() if line.startswith("operator ")}
    assert granted == {
        ("topic", "weir.alerts,weir.retraining"): {"Read", "Write", "Describe"},
        ("topic", "weir.feedback"): {"Write", "Describe"},
        ("topic", "weir.inference,weir.verdicts"): {"Describe"},  # an approval pins their end offsets
    }
    assert not [line for line in rules() if line.startswith("reader ") and "Write" in line.split()[3:]]


def covers(pattern, name):
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def rules():
    lines = (ROOT / "deploy/kafka/acls.txt").read_text().splitlines()
    return [line for line in lines if line.split() and not line.startswith("#")]


def test_the_secrets_are_generated_once_and_are_those_that_are_mounted(secure, tmp_path):
    if shutil.which("openssl") is None:
        pytest.fail("openssl is not on PATH, and deploy/secrets.sh needs it; apt-get install openssl")
    folder = tmp_path / "secrets"

    def make():
        environment = {"WEIR_SECRETS": str(folder), "PATH": "/usr/bin:/bin"}
        assert str(folder) in shell(
            "sh", ROOT / "deploy/secrets.sh", "127.0.0.9", "::1", "kafka.example", env=environment
        )
        return {path.name: path.read_text() for path in folder.iterdir()}

    first = make()
    assert make() == first
    assert {Path(secret["file"]).name for secret in secure["secrets"].values()} == set(first)
    assert folder.stat().st_mode & 0o777 == 0o700
    names = shell("openssl", "x509", "-in", folder / "kafka-key.pem", "-noout", "-ext", "subjectAltName")
    expected = ("DNS:kafka", "DNS:kafka.example", "IP Address:127.0.0.9", "IP Address:0:0:0:0:0:0:0:1")
    assert all(name in names for name in expected)
    passwords = [text for name, text in first.items() if name.startswith("kafka-user-")]
    assert len(set(passwords)) == len(passwords)
    check_renewal(folder, make)


def test_an_address_that_is_not_complete_is_an_error_that_names_it(tmp_path):
    environment = {"WEIR_SECRETS": str(tmp_path / "secrets"), "PATH": "/usr/bin:/bin"}
    command = ["sh", ROOT / "deploy/secrets.sh", "10.0.0"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "IP:10.0.0; correct the names and addresses" in done.stderr
    assert not (tmp_path / "secrets" / "kafka-key.pem").exists()


def check_renewal(folder, make):
    """Check that a new certificate has a new CA, and that the old read-only file, which running containers still read, is unchanged."""
    first = make()
    authority = folder / "kafka-ca.pem"
    mounted = authority.rename(folder.parent / "mounted")
    authority.hardlink_to(mounted)
    (folder / "kafka-key.pem").unlink()
    renewed = make()
    assert {name for name in first if renewed[name] != first[name]} == {"kafka-ca.pem", "kafka-key.pem"}
    assert mounted.read_text() == first["kafka-ca.pem"]
    assert "OK" in shell("openssl", "verify", "-CAfile", authority, folder / "kafka-key.pem")


def test_secrets_never_enter_the_repository_or_an_image():
    assert "deploy/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    shown = compose("--file", BASE, "--file", SECURE, "config", "--format=json").stdout
    assert "PASSWORD_FILE" in shown
    assert 'SASL_PASSWORD"' not in json.dumps(json.loads(shown))
