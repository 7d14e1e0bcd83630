"""Commands that change what the product does write to the access log: who, when, what; never a key or the text of a reason."""

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.commands import WEIR

from stream.loop.delivery.route_store import read_overrides, write_routes
from stream.wire import RouteRecord
from stream.wire.route_files import BASE
from weir.cli import dlq, main
from weir.dead_letters.letter import DeadLetter
from weir.home.api_keys import list_keys

VERSION = "m_111111111111"
ON_ACME = ("--tenant", "acme", "--model", "m", "--reason", "canary-reason")
ROUTE = RouteRecord(tenant="acme", model="m", epoch=1, at=1.0, champion=VERSION, previous=BASE, weights={VERSION: 100})


@pytest.fixture
def weir(home):
    def run(*arguments):
        return CliRunner().invoke(main, arguments)

    return run


def entries(home):
    text = (home / "logs" / "access.log").read_text()
    assert "canary" not in text
    found = [json.loads(line) for line in text.splitlines()]
    assert all(one["user"] and one["time"] > 0 for one in found)
    return [{name: value for name, value in one.items() if name not in {"user", "uid", "pid", "time"}} for one in found]


def test_the_creation_and_the_revocation_of_a_key_are_logged_without_the_key(home, weir):
    made = json.loads(weir("keys", "create", "--tenant", "acme", "--scope", "review", "--json").output)
    assert weir("keys", "revoke", made["id"]).exit_code == 0
    assert entries(home) == [
        {"command": "weir keys create", "key": made["id"], "tenant": "acme", "scopes": "review"},
        {"command": "weir keys revoke", "key": made["id"], "tenant": "acme"},
    ]
    assert made["key"] not in (home / "logs" / "access.log").read_text()


def test_a_key_is_not_created_if_the_log_cannot_be_written(home, weir):
    (home / "logs").mkdir()
    (home / "logs" / "access.log").symlink_to("/dev/full")
    done = weir("keys", "create", "--tenant", "acme")
    assert done.exit_code == 1
    assert "`weir keys create` cannot be logged" in done.stderr
    assert list_keys(home) == []


def test_silences_are_logged_before_kafka_is_asked(no_broker, weir):
    assert weir("alerts", "silence", "al_1", "--for", "2h", "--reason", "canary-reason").exit_code == 1
    assert weir("alerts", "unsilence", "si_1").exit_code == 1
    assert entries(no_broker) == [
        {"command": "weir alerts silence", "alert_id": "al_1", "duration": "2h"},
        {"command": "weir alerts unsilence", "silenced": "si_1"},
    ]


def test_an_import_of_labels_is_logged_before_kafka_is_asked(no_broker, weir, tmp_path):
    file = tmp_path / "outcomes.jsonl"
    file.write_text('{"request_id": "r1", "correct": true}')
    assert weir("labels", "import", str(file), "--tenant", "acme").exit_code == 1
    assert entries(no_broker) == [{"command": "weir labels import", "tenant": "acme", "file": str(file)}]


def test_promotions_and_rollbacks_by_hand_are_logged(home, weir):
    folder = home / "loop" / "models" / VERSION
    folder.mkdir(parents=True)
    (folder / "model.gguf").write_bytes(b"")
    write_routes(home, [ROUTE])
    for command in (("route", "kill", "--json"), ("models", "promote", VERSION, "--now"), ("models", "rollback")):
        assert weir(*command, *ON_ACME).exit_code == 0
    weir("models", "promote", VERSION, *ON_ACME)
    what = {"tenant": "acme", "model": "m", "model_version": VERSION}
    assert entries(home) == [
        {"command": "weir route kill", **what, "model_version": BASE},
        {"command": "weir models promote --now", **what},
        {"command": "weir models rollback", **what, "model_version": BASE},
        {"command": "weir models promote", **what},
    ]


def test_a_version_is_stopped_although_the_log_cannot_be_written(home, weir):
    write_routes(home, [ROUTE])
    (home / "logs").mkdir()
    (home / "logs" / "access.log").symlink_to("/dev/full")
    done = weir("route", "kill", *ON_ACME)
    assert done.exit_code == 1
    assert "`weir route kill` cannot be logged" in done.stderr
    assert [one.version for one in read_overrides(home)] == [BASE]


@pytest.fixture(params=["keys revoke", "models rollback", "route kill"])
def urgent(request, home, weir):
    """A command whose action does not wait for its log entry, and its arguments."""
    key = json.loads(weir("keys", "create", "--tenant", "acme", "--json").output)["id"]
    write_routes(home, [ROUTE])
    return request.param, (*request.param.split(), *((key,) if "revoke" in request.param else ON_ACME))


def test_an_action_is_logged_although_its_output_cannot_be_written(home, urgent):
    command, arguments = urgent
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run([*WEIR, *arguments], stdout=full, check=False, timeout=200)
    assert ended.returncode == 1
    assert [(one["command"], one["tenant"]) for one in entries(home)[1:]] == [(f"weir {command}", "acme")]


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_the_result_of_an_action_is_printed_although_the_log_cannot_be_written(home, weir, urgent, more):
    command, arguments = urgent
    (home / "logs" / "access.log").unlink()
    (home / "logs" / "access.log").symlink_to("/dev/full")
    done = weir(*arguments, *more)
    assert (done.exit_code, "acme" in done.stdout) == (1, True)
    assert f"`weir {command}` cannot be logged" in done.stderr


def test_replayed_dead_letters_are_logged_and_a_dry_run_is_not(no_broker, weir, monkeypatch):
    where = {"stage": "score", "topic": "weir.inference", "partition": 0, "attempt": 1}
    where |= {"place": "", "exception": "", "reason": ""}
    facts = where | {"disposition": "bug", "size_bytes": 1, "request_id": None, "event_type": None, "value_kept": True}
    letters = [DeadLetter(offset=offset, time=1.0, source_offset=offset, **facts) for offset in (17, 18)]
    monkeypatch.setattr(dlq, "_letters", lambda _kafka, _since: letters)
    monkeypatch.setattr(dlq, "_replay", lambda *_letters, **_how: [])
    assert weir("dlq", "replay", "--all", "--dry-run").exit_code == 0
    assert not (no_broker / "logs").exists()
    weir("dlq", "replay", "18")
    assert entries(no_broker) == [{"command": "weir dlq replay", "dead_letter": 18}]
