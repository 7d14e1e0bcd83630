"""Decisions of operators about routes: they are in force immediately, and the version must exist."""

import json

import msgspec
import pytest
from click.testing import CliRunner

from serving.routes import RouteTable
from stream.errors import StreamError
from stream.loop.delivery.route_store import add_override, read_overrides, remove_overrides, write_routes
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob
from stream.loop.training.manifest import VersionManifest
from stream.settings import KafkaSettings
from stream.wire import RouteRecord
from stream.wire.route_files import BASE, RouteOverride, overrides_path, routes_path
from weir.cli import main
from weir.cli.models import models
from weir.cli.route import route as route_command
from weir.errors import NotFoundError, SettingsError
from weir.home.api_keys import create_key
from weir.operate.routes import pin, rollback_version, routes, start

M1, M2 = "m_111111111111", "m_222222222222"


def route(**more):
    values = {
        "tenant": "acme",
        "model": "m",
        "epoch": 3,
        "at": 1.0,
        "champion": M1,
        "previous": BASE,
        "weights": {M1: 100},
    }
    return RouteRecord(**values | more)


def install(home, version, *, tenant="", model="m"):
    """Write the weights of a version; if `tenant` is given, write a manifest too, as the trainer does."""
    folder = home / "loop" / "models" / version
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"")
    if tenant:
        job = TrainingJob(tenant=tenant, model=model, base="", base_digest="", dataset="", dataset_digest="")
        manifest = VersionManifest(
            version=version, job=job, adapter_digest="", weights_digest="", numbers={}, libraries={}, files={}
        )
        (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest))


@pytest.mark.parametrize(
    ("known", "version"),
    [
        (route(), BASE),
        (route(challenger=M2, weights={M1: 75, M2: 25}), M1),
        (route(previous=M2), M2),
        (route(previous=""), BASE),
    ],
)
def test_a_rollback_returns_to_the_champion_of_a_canary_or_to_the_version_before(known, version):
    assert rollback_version(known) == version


@pytest.mark.parametrize(("version", "previous"), [(BASE, BASE), (M2, M1)])
def test_a_rollback_does_not_return_to_a_version_that_was_rolled_back(tmp_path, version, previous):
    write_routes(tmp_path, [route()])
    install(tmp_path, M2)
    pin(tmp_path, route(), version, by="jo", reason="why")
    (found,) = routes(tmp_path)
    assert rollback_version(found) == previous


def test_a_shared_folder_contains_the_files_of_routes(tmp_path):
    (tmp_path / "routes").mkdir()
    write_routes(tmp_path, [route()])
    remove_overrides(tmp_path, [pin(tmp_path, route(), BASE, by="jo", reason="wrong")])
    assert routes(tmp_path) == [route()]
    assert {path.name for path in (tmp_path / "routes").iterdir()} == {
        "routes.json",
        "route-overrides.json",
        ".routes.lock",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["routes"]


def test_an_override_is_in_force_before_delivery_publishes_it(tmp_path):
    write_routes(tmp_path, [route()])
    override = pin(tmp_path, route(), BASE, by="jo", reason=" wrong ")
    (found,) = routes(tmp_path, tenant="acme")
    assert (found.champion, found.weights, found.by, found.reason) == (BASE, {BASE: 100}, "jo", "wrong")
    assert overrides_path(tmp_path).stat().st_mode & 0o777 == 0o600
    remove_overrides(tmp_path, [override])
    assert routes(tmp_path) == [route()]


def test_a_second_override_replaces_the_first_and_survives_the_removal_of_the_first(tmp_path):
    write_routes(tmp_path, [route()])
    install(tmp_path, M2)
    first = pin(tmp_path, route(), BASE, by="jo", reason="a")
    second = pin(tmp_path, route(), M2, by="jo", reason="b")
    remove_overrides(tmp_path, [first])
    assert read_overrides(tmp_path) == (second,)


@pytest.mark.parametrize(
    ("version", "reason", "error", "text"),
    [
        (M2, "why", NotFoundError, "model.gguf does not exist"),
        ("../../etc", "why", SettingsError, "trained version"),
        ("b179c9523d0e", "why", SettingsError, "trained version"),
        (BASE, "why", NotFoundError, "tenant acme has no route of n"),
        (M1, "  ", SettingsError, "reason is empty"),
    ],
)
async def test_an_invalid_decision_writes_no_override(tmp_path, version, reason, error, text):
    install(tmp_path, M1)
    write_routes(tmp_path, [route()])
    if version == M1:
        kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
        with pytest.raises(error, match=text):
            await start(tmp_path, kafka, version, tenant="acme", model="n", by="jo", reason=reason)
    with pytest.raises(error, match=text):
        pin(tmp_path, route(model="n"), version, by="jo", reason=reason)
    assert read_overrides(tmp_path) == ()


@pytest.mark.parametrize(("tenant", "model"), [("other", "m"), ("acme", "n")])
async def test_a_version_belongs_to_its_tenant_and_model(tmp_path, tenant, model):
    install(tmp_path, M2, tenant="acme")
    text = f"{M2} is a version of tenant acme, model m, and not of tenant {tenant}, model {model}"
    with pytest.raises(SettingsError, match=text):
        pin(tmp_path, route(tenant=tenant, model=model), M2, by="jo", reason="why")
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(SettingsError, match=text):
        await start(tmp_path, kafka, M2, tenant=tenant, model=model, by="jo", reason="why")
    assert read_overrides(tmp_path) == ()
    assert pin(tmp_path, route(), M2, by="jo", reason="why").version == M2


async def test_a_tenant_with_an_invalid_name_gets_no_version(tmp_path):
    install(tmp_path, M2)
    with pytest.raises(SettingsError, match=r"tenant 'a b/\.\./x' is not a valid name"):
        pin(tmp_path, route(tenant="a b/../x"), M2, by="jo", reason="why")
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(SettingsError, match="tenant 'a b' is not a valid name"):
        await start(tmp_path, kafka, M2, tenant="a b", model="m", by="jo", reason="why")
    assert read_overrides(tmp_path) == ()


def test_a_damaged_manifest_is_named(tmp_path):
    install(tmp_path, M2, tenant="acme")
    (tmp_path / "loop" / "models" / M2 / "manifest.json").write_bytes(b"{}")
    with pytest.raises(TrainingError, match=r"manifest\.json is damaged"):
        pin(tmp_path, route(), M2, by="jo", reason="why")


def test_an_adapter_of_vllm_needs_no_merged_weights(home):
    """A version of a base in Hugging Face's format has no merged weights; the settings name the adapter."""
    promote = ["promote", M2, "--tenant", "acme", "--model", "m", "--reason", "good", "--now"]
    (home / "weir.toml").write_text('[models.m]\nengine = "vllm"\n')
    assert CliRunner().invoke(models, promote).exit_code == 1
    (home / "weir.toml").write_text(f'[models.m]\nengine = "vllm"\nlora = {{ {M2} = "/adapters/{M2}" }}\n')
    assert CliRunner().invoke(models, promote).exit_code == 0
    assert routes(home, tenant="acme")[0].champion == M2


def test_a_promotion_for_a_model_that_is_not_served_here_prints_a_warning(home):
    install(home, M2)
    (home / "weir.toml").write_text('[models.m]\nengine = "echo"\n')
    promote = ["promote", M2, "--tenant", "acme", "--reason", "good", "--now", "--model"]
    assert CliRunner().invoke(models, [*promote, "m"]).stderr == ""
    said = CliRunner().invoke(models, [*promote, "n"])
    assert (said.exit_code, said.stderr[:48]) == (0, "model n is not served here; this stack serves m.")


def test_a_promotion_for_a_tenant_without_an_api_key_prints_a_warning(home):
    install(home, M2)
    (home / "weir.toml").write_text('[models.m]\nengine = "echo"\n')
    promote = ["promote", M2, "--reason", "good", "--now", "--tenant"]
    assert CliRunner().invoke(models, [*promote, "acmee"]).stderr == "", "the keys of this stack are in another home"
    create_key(home, "acme")
    assert CliRunner().invoke(models, [*promote, "acme"]).stderr == ""
    said = CliRunner().invoke(models, [*promote, "acmee"])
    assert (said.exit_code, "tenant acmee has no API key" in said.stderr) == (0, True)


@pytest.mark.parametrize(
    ("known", "version", "said"),
    [
        ([route()], M1, f"{M1} is the champion of acme / m already; name another version"),
        (
            [route(challenger=M2)],
            M1,
            f"{M1} is the champion of acme / m already; `weir route kill` ends the canary of {M2}",
        ),
        ([route()], BASE, "base answers without shadow and canary; give --now"),
        ([], BASE, "base answers without shadow and canary; give --now"),
        (
            [route(champion=M2, challenger=M1, weights={M2: 75, M1: 25})],
            M1,
            f"{M1} is the challenger of acme / m already; follow it with `weir retraining --follow`, or give --now",
        ),
    ],
)
async def test_starting_a_version_that_delivery_would_ignore_or_begin_again_is_an_error(tmp_path, known, version, said):
    install(tmp_path, M1)
    write_routes(tmp_path, known)
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(SettingsError, match=said):
        await start(tmp_path, kafka, version, tenant="acme", model="m", by="jo", reason="again")


def test_a_damaged_file_is_named(tmp_path):
    routes_path(tmp_path).write_bytes(b"{")
    with pytest.raises(StreamError, match=r"routes\.json is damaged"):
        routes(tmp_path)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    (tmp_path / "weir.toml").write_text("")
    return tmp_path


def test_kill_ends_all_new_versions_and_show_prints_them_without_kafka(home):
    unchanged = route(tenant="other", champion=BASE, weights={BASE: 100})
    write_routes(home, [route(challenger=M2, weights={M1: 75, M2: 25}), route(model="n"), unchanged])
    install(home, M1)
    done = CliRunner().invoke(route_command, ["kill", "--reason", "wrong", "--json"])
    assert done.exit_code == 0, done.output
    assert [(one["model"], one["version"]) for one in json.loads(done.output)] == [("m", M1), ("n", BASE)]
    shown = CliRunner().invoke(route_command, ["show"])
    assert f"{M1} 100 %" in shown.output
    assert M2 not in shown.output
    again = CliRunner().invoke(route_command, ["kill", "--reason", "wrong", "--json"])
    assert [(one["model"], one["version"]) for one in json.loads(again.output)] == [("m", BASE)], (
        "the second kill rolls back the promotion of M1"
    )
    assert json.loads(CliRunner().invoke(route_command, ["kill", "--reason", "wrong", "--json"]).output) == []


@pytest.mark.parametrize("chosen", [("--model", "nope"), ("--tenant", "nope"), ("--tenant", "acme", "--model", "nope")])
def test_a_kill_of_a_tenant_or_model_without_a_route_is_an_error_that_names_the_known_ones(home, chosen):
    write_routes(home, [route(), route(tenant="other", model="n")])
    done = CliRunner().invoke(main, ["route", "kill", *chosen, "--reason", "x"])
    assert done.exit_code == 1
    assert "nope" in done.stderr
    assert "routes exist for acme / m, other / n" in done.stderr
    assert read_overrides(home) == ()


def test_a_second_kill_succeeds_and_a_kill_of_all_models_succeeds_without_a_route(home):
    command = ["route", "kill", "--tenant", "acme", "--model", "m", "--reason", "x"]
    write_routes(home, [route()])
    first, again = (CliRunner().invoke(main, command) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert "nothing was changed" in again.stderr
    write_routes(home, [])
    remove_overrides(home, read_overrides(home))
    assert CliRunner().invoke(main, ["route", "kill", "--reason", "x"]).exit_code == 0
    missing = CliRunner().invoke(main, command)
    assert (missing.exit_code, f"no routes in {home}" in missing.stderr) == (1, True)


def test_kill_ends_every_new_version_even_if_the_version_before_has_no_file(home):
    """An adapter of vLLM has no file, and the file of another version can have been deleted."""
    canary = {"champion": M1, "challenger": M2, "weights": {M1: 75, M2: 25}}
    write_routes(home, [route(tenant=tenant, **canary) for tenant in ("a", "b")])
    done = CliRunner().invoke(route_command, ["kill", "--reason", "wrong", "--json"], catch_exceptions=False)
    assert [(one["tenant"], one["version"]) for one in json.loads(done.output)] == [("a", M1), ("b", M1)]
    assert [one.weights for one in routes(home)] == [{M1: 100}, {M1: 100}]


def test_with_damaged_routes_a_kill_that_names_tenant_and_model_lets_the_base_version_answer(home):
    routes_path(home).write_bytes(b"{")
    command = ["route", "kill", "--reason", "wrong", "--tenant", "acme"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert "do not delete the file" in done.stderr
    assert "`weir route kill` with --tenant and --model" in done.stderr
    done = CliRunner().invoke(main, [*command, "--model", "m"])
    assert (done.exit_code, done.stdout) == (0, f"acme m: {BASE} answers all requests\n")
    assert "routes.json is damaged" in done.stderr
    assert RouteTable(home).route("acme", "m").champion == BASE


def test_rollback_and_immediate_promotion_need_no_kafka(home):
    install(home, M2)
    model = "smollm2-135m-instruct"
    add_override(home, RouteOverride(tenant="acme", model=model, version=BASE, at=1.0, by="jo"))
    promoted = CliRunner().invoke(models, ["promote", M2, "--tenant", "acme", "--reason", "good", "--now", "--json"])
    assert promoted.exit_code == 0, promoted.output
    assert routes(home, tenant="acme")[0].champion == M2
    rolled_back = CliRunner().invoke(models, ["rollback", "--tenant", "acme", "--reason", "bad", "--json"])
    assert json.loads(rolled_back.output)["version"] == BASE


def test_the_trained_versions_are_listed_with_their_share(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    install(tmp_path, M1, tenant="acme")
    install(tmp_path, M2)
    (tmp_path / "loop" / "models" / "draft").mkdir()
    write_routes(tmp_path, [route(champion=BASE, challenger=M1, weights={BASE: 75, M1: 25})])
    lines = CliRunner().invoke(main, ["models"]).output.splitlines()
    assert [line for line in lines if line.startswith("trained: ")] == [
        f"trained: {M1} (tenant acme, model m, answers 25 % of the conversations)",
        f"trained: {M2} (no readable manifest, does not answer)",
    ]
