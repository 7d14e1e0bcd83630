"""Proposed thresholds: the threshold in force, and writing a threshold to the settings file."""

import json
import tomllib

import pytest
from click.testing import CliRunner
from support import alert_records
from support.console_ledger import NAMES, LedgerMaker
from support.events import event_of

from stream.wire import Feedback
from weir.cli import main
from weir.errors import SettingsError
from weir.operate.thresholds import proposals, threshold_of, write_threshold
from weir.settings import load_settings

GIVEN = """\
# Our stack.
[detectors.options.toxicity]
threshold = 0.5  # chosen in March

[tenants."acme"]
bucket_seconds = 5  # short windows
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with 40 reviewed toxicity alerts of tenant acme; alerts with a score of at least 0.71 are right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    maker = LedgerMaker(tmp_path / "ledger")
    scores = [0.51 + 0.01 * row for row in range(40)]
    alerts = [
        alert_records.alert(f"al_{row}", detector="toxicity", score=score, opened_at=100.0 + row, at=100.0 + row)
        for row, score in enumerate(scores)
    ]
    maker.apply(NAMES.alerts, *map(alert_records.event, alerts))
    reviews = [
        Feedback(request_id="r1", tenant="acme", principal="console:ann", alert_id=f"al_{row}", label=label)
        for row, label in enumerate("right" if score >= 0.705 else "wrong" for score in scores)
    ]
    maker.apply(NAMES.feedback, *(event_of(one, f"f/{one.alert_id}", 200.0) for one in reviews))
    maker.beat(300.0)
    maker.close()
    return tmp_path


def weir(*command):
    return CliRunner().invoke(main, ["detectors", "tune", "--tenant", "acme", *command])


def test_too_few_reviewed_alerts_are_reported_with_their_number(home):
    few = weir("--since", "1970-01-01T00:02:19Z")
    assert "1 reviewed alert, 1 reviewer; no proposal: 1 alert is reviewed, a proposal needs 30" in few.output
    assert "no reviewed alerts" not in few.output
    none = weir("--since", "1h")
    assert "tenant acme has no reviewed alerts that opened since 1h;" in none.output


def test_only_a_tenant_without_reviewed_alerts_is_reported_as_such(home):
    other = weir("--detector", "pii")
    assert "pii: 0 reviewed alerts" in other.output
    assert "has no reviewed alerts" not in other.output
    unknown = CliRunner().invoke(main, ["detectors", "--tenant", "amce"])
    assert unknown.output == "tenant amce has no reviewed alerts; review some in `weir console`\n"


def test_a_proposal_states_the_number_of_alerts_on_which_reviewers_disagree(home):
    maker = LedgerMaker(home / "ledger")
    other = Feedback(request_id="r1", tenant="acme", principal="k_bob", alert_id="al_39", label="wrong")
    maker.apply(
        NAMES.feedback, event_of(other, "f/bob", 199.0), partition=1
    )  # this review is older than the other one, and the newest counts
    maker.close()
    (home / "weir.toml").write_text(GIVEN)
    done = weir("--precision", "1")
    assert "40 reviewed alerts, 2 reviewers; reviewers disagree on 1, whose newest review counts" in done.output


def test_an_empty_tenant_is_an_error_and_not_every_tenant(home):
    done = CliRunner().invoke(main, ["detectors", "tune", "--tenant", "", "--apply"])
    assert done.exit_code == 1
    assert "--tenant is empty; name one tenant" in done.output
    assert not (home / "weir.toml").exists()


def test_nothing_is_written_without_apply(home):
    (home / "weir.toml").write_text(GIVEN)
    done = weir("--precision", "1")
    assert done.exit_code == 0, done.output
    assert "toxicity" in done.output
    assert "0.71" in done.output
    assert "40 reviewed alerts, 1 reviewer" in done.output
    assert (home / "weir.toml").read_text() == GIVEN
    assert not (home / "logs").exists()


def test_apply_keeps_comments_and_the_threshold_is_then_in_force(home):
    (home / "weir.toml").write_text(GIVEN)
    (home / "weir.toml").chmod(0o640)
    assert threshold_of(load_settings().settings, "acme", "toxicity") == 0.5
    done = weir("--precision", "1", "--apply", "--json")
    assert done.exit_code == 0, done.output
    text = (home / "weir.toml").read_text()
    assert text.startswith(GIVEN)
    assert (home / "weir.toml").stat().st_mode & 0o777 == 0o640
    assert tomllib.loads(text)["tenants"]["acme"] == {"bucket_seconds": 5, "alerts": {"threshold": {"toxicity": 0.71}}}
    settings = load_settings().settings
    assert threshold_of(settings, "acme", "toxicity") == 0.71
    assert threshold_of(settings, "elm", "toxicity") == 0.5
    entry = json.loads((home / "logs" / "access.log").read_text())
    assert (entry["command"], entry["tenant"], entry["detector"], entry["threshold"]) == (
        "weir detectors tune --apply",
        "acme",
        "toxicity",
        0.71,
    )
    assert weir("--json").exit_code == 0
    assert json.loads(weir("--json").stdout)[0]["reviews"] == 20


def test_a_missing_settings_file_is_created(home):
    assert weir("--precision", "1", "--apply").exit_code == 0
    assert tomllib.loads((home / "weir.toml").read_text()) == {
        "tenants": {"acme": {"alerts": {"threshold": {"toxicity": 0.71}}}}
    }


def test_a_threshold_that_would_have_no_effect_is_an_error_and_the_file_is_unchanged(home, monkeypatch):
    later = GIVEN + '\n[tenants."*".alerts]\nthreshold = {toxicity = 0.6}\n'
    (home / "weir.toml").write_text(later)
    (found,) = proposals(load_settings().settings, tenant="acme", target=1.0)
    with pytest.raises(SettingsError, match="a later table of"):
        write_threshold(load_settings(), found)
    assert (home / "weir.toml").read_text() == later
    monkeypatch.setenv("WEIR_TENANTS", '{"acme": {"bucket_seconds": 7}}')
    with pytest.raises(SettingsError, match="environment WEIR_TENANTS, which overrides the file"):
        write_threshold(load_settings(), found)


def test_a_threshold_that_cannot_be_added_beside_dotted_keys_is_an_error_that_names_the_line_to_write(home):
    given = '[tenants.acme]\nalerts.open_windows = 2\n[tenants.acme.guard]\nmode = "stop"\n'
    (home / "weir.toml").write_text(given)
    failed = weir("--apply")
    assert failed.exit_code == 1
    assert 'tenants."acme".alerts.threshold cannot be added to tables with dotted keys; set' in failed.stderr
    assert 'tenants."acme".alerts.threshold.toxicity = 0.6899 by hand' in failed.stderr
    assert (home / "weir.toml").read_text() == given


def test_older_alerts_and_other_detectors_are_left_out(home):
    settings = load_settings().settings
    (found,) = proposals(settings, tenant="acme", target=1.0, since=111.0)
    assert (found.reviews, found.proposed) == (29, None)
    (none,) = proposals(settings, tenant="acme", detector="drift", target=1.0)
    assert none.reason == "its alerts do not depend on a threshold of the score"
    assert proposals(settings, tenant="elm", target=1.0) == []
    with pytest.raises(SettingsError, match="no detector with alerts is named 'toxcity'"):
        proposals(settings, tenant="acme", detector="toxcity", target=1.0)
