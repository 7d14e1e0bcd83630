import shutil
from urllib.parse import quote

import pytest
from support.cases import cases
from support.console_ledger import MODEL, NAMES, LedgerMaker
from support.ledger_log import request

from detectors.registry import ALERTING, DETECTORS, EXPLAINED
from stream.ledger.queries.console_queries import LedgerPages
from stream.runbook import RUNBOOK
from stream.wire import RetrainingRecord

CASES = cases(__file__)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with the ledger of the demo's traffic, which no test changes."""
    maker = LedgerMaker(tmp_path_factory.mktemp("home") / "ledger")
    maker.demo(seconds=600, ordinary=210, odd=12, new=110)
    maker.alerts(30, evidence=("r1", "r211"))
    maker.close()
    return maker.directory


@pytest.fixture
def demo(written, tmp_path):
    return shutil.copytree(written, tmp_path / "ledger")


async def test_without_a_ledger_every_list_is_empty(page):
    assert await page.get("/api/alerts") == {"alerts": [], "next": ""}
    assert (await page.get("/api/requests"))["requests"] == []
    assert await page.get("/api/drift") == {"streams": []}
    assert (await page.get("/api/coverage"))["hours"] == []
    assert await page.get("/api/retraining") == {"retraining": [], "next": ""}
    assert await page.get("/api/silences") == {"silences": []}
    assert await page.get("/api/models") == {"models": []}
    assert await page.get("/api/detectors") == {"detectors": []}


async def test_requests_are_paged_newest_first_without_a_gap(page, demo):
    seen, before = [], None
    while before != "":
        found = await page.get("/api/requests", limit=50, before=before or "")
        seen += found["requests"]
        before = found["next"]
    assert len(seen) == len({row["request_id"] for row in seen}) == 332
    times = [row["time"] for row in seen]
    assert times == sorted(times, reverse=True)
    assert all(len(row["verdicts"]) == 6 and row["status"] == "complete" and not row["pending"] for row in seen)


async def test_flagged_requests_only(page, demo):
    found = (await page.get("/api/requests", flagged=True, limit=500))["requests"]
    assert len(found) == 12
    assert all(any(one["flagged"] for one in row["verdicts"]) for row in found)


async def test_a_request_has_the_fields_of_weir_show_and_no_text(page, demo):
    found = await page.get("/api/requests/r211")
    fields = {"request_id", "trace_id", "tenant", "model", "end", "verdicts", "alert_ids", "retraining_ids"}
    assert fields <= found.keys()
    assert found["text"] is None
    status, error = await page.bad("/api/requests/nobody")
    assert status == 404
    assert "no request 'nobody'" in error


async def test_alerts_are_paged_and_filtered(page, demo):
    first = await page.get("/api/alerts", limit=10)
    rest = await page.get("/api/alerts", limit=500, before=first["next"])
    everything = first["alerts"] + rest["alerts"]
    assert rest["next"] == ""
    assert len({row["alert_id"] for row in everything}) == len(everything) > 30
    assert [row["opened_at"] for row in everything] == sorted((row["opened_at"] for row in everything), reverse=True)
    firing = (await page.get("/api/alerts", state="firing", limit=500))["alerts"]
    assert {row["alert_id"] for row in firing} == {row["alert_id"] for row in everything if row["state"] == "firing"}
    assert {row["detector"] for row in (await page.get("/api/alerts", detector="drift"))["alerts"]} == {"drift"}
    (one,) = (await page.get("/api/alerts", q="NUMBER 17"))["alerts"]
    assert one["summary"].endswith("number 17")
    assert (await page.get("/api/alerts", q="100%' OR 1=1"))["alerts"] == []


async def test_an_alert_has_evidence_changes_and_windows(page, demo):
    alerts = (await page.get("/api/alerts", detector="drift", tenant="demo-abc123", limit=500))["alerts"]
    found = await page.get(f"/api/alerts/{alerts[-1]['alert_id']}")
    assert found["alert"]["trace_id"]
    assert found["alert"]["runbook"]
    assert [row["request_id"] for row in found["evidence"]] == found["alert"]["evidence"]
    assert found["changes"][0]["state"] == "firing"
    series = found["series"]
    assert len(series["time"]) == len(series["statistic"]) == len(series["limit"]) == len(series["alarm"]) > 50
    assert max(series["statistic"]) > series["limit"][0]
    assert series["changed"]["details"]["changed_at"] > 0
    assert {"topic_since_share", "topic_since_share_before"} <= series["changed"]["details"].keys()
    assert [one["state"] for one in found["retraining"]][-1] == "requested"
    assert (await page.bad("/api/alerts/al_none"))[0] == 404


async def test_streams_in_alarm_are_first_and_a_series_has_a_range(page, demo):
    streams = (await page.get("/api/drift"))["streams"]
    assert streams[0]["alarm"]
    assert not streams[-1]["alarm"]
    name = {key: streams[0][key] for key in ("tenant", "model", "side", "detector")}
    whole = await page.get("/api/drift/series", **name)
    middle = whole["time"][len(whole["time"]) // 2]
    half = await page.get("/api/drift/series", since=middle, **name)
    assert half["time"] == [at for at in whole["time"] if at >= middle]
    assert (await page.get("/api/drift", tenant="nobody"))["streams"] == []


async def test_each_retraining_event_has_the_decisions_that_its_request_allows_now(page, ledger):
    def state(name, at, identity, **fields):
        own = {"tenant": "acme", "model": "m", "reason": "", "at": at}
        return RetrainingRecord(retraining_id=identity, state=name, **own, **fields)

    ledger.retraining(state("requested", 1.0, "rt_1"), state("suppressed", 1.0, "rt_2"))
    ledger.retraining(state("requested", 2.0, "rt_3"), state("approved", 2.0, "rt_3"))
    ledger.retraining(state("requested", 3.0, "rt_4"), state("progress", 4.0, "rt_4", lease_until=9.0))
    ledger.retraining(state("requested", 3.0, "rt_5"), state("started", 4.0, "rt_5"))
    # The trainer's clock is behind, and a duplicate of the request follows.
    request = state("requested", 2.5, "rt_6")
    ledger.retraining(request, state("approved", 2.9, "rt_6"), state("blessed", 2.7, "rt_6"), request)
    found = await page.get("/api/retraining", limit=500)
    assert {(one["retraining_id"], one["state"]): one["decisions"] for one in found["retraining"]} == {
        ("rt_1", "requested"): ["approved", "rejected"],
        ("rt_2", "suppressed"): [],
        ("rt_3", "requested"): ["rejected"],
        ("rt_3", "approved"): ["rejected"],
        ("rt_4", "requested"): ["rejected"],
        ("rt_4", "progress"): ["rejected"],
        ("rt_5", "requested"): [],
        ("rt_5", "started"): [],
        ("rt_6", "requested"): [],
        ("rt_6", "approved"): [],
        ("rt_6", "blessed"): [],
    }
    (newest,) = (await page.get("/api/retraining", limit=1))["retraining"]
    assert (newest["retraining_id"], newest["decisions"]) == ("rt_5", []), "the request is on another page"


async def test_each_version_has_its_newest_state_newest_first(page, ledger):
    def state(name, version, at, identity="rt_1"):
        own = {"tenant": "acme", "model": "m", "reason": name, "at": at}
        return RetrainingRecord(retraining_id=identity, state=name, model_version=version, **own)

    # The clock of delivery is behind that of the trainer.
    ledger.retraining(state("requested", "", 1.0), state("trained", "m_1", 5.5), state("promoted", "m_1", 5.0))
    ledger.retraining(state("blessed", "m_2", 3.0, "rt_2"), state("requested", "", 9.0, "rt_3"))
    found = (await page.get("/api/models"))["models"]
    assert [(one["version"], one["state"], one["retraining_id"]) for one in found] == [
        ("m_1", "promoted", "rt_1"),
        ("m_2", "blessed", "rt_2"),
    ]
    assert [one["version"] for one in (await page.get("/api/models", limit=1))["models"]] == ["m_1"]


@pytest.mark.parametrize("version", ["--help", "-v", "m_1 --json", "m_1;ls", "x" * 101])
async def test_an_invalid_version_name_is_not_passed_to_a_command(page, version):
    status, error = await page.bad(f"/api/models/{quote(version)}/chain")
    assert status == 404
    assert "no version" in error


async def test_the_first_request_of_a_stream_is_of_its_tenant_and_model(page, ledger):
    pages = LedgerPages(ledger.directory)
    assert pages.first_request("acme", MODEL) is None
    for name, at, tenant in (
        ("r1", 3590.0, "other"),
        ("r2", 7300.0, "acme"),
        ("r3", 7250.0, "acme"),
        ("r4", 9e4, "acme"),
    ):
        ledger.side(name, "input", at, tenant=tenant)
    assert pages.first_request("acme", MODEL) == 7250.0
    assert pages.first_request("other", MODEL) == 3590.0
    assert pages.first_request("acme", "another") is None


async def test_coverage_is_as_in_weir_status_and_by_hour(page, demo):
    found = await page.get("/api/coverage")
    assert found["coverage"]["owed"] == found["coverage"]["settled"] == 332 * 6
    assert sum(hour["owed"] for hour in found["hours"]) == 332 * 6
    assert {hour["missing"] for hour in found["hours"]} == {0}


async def test_the_stack_has_the_address_of_traces_and_every_detector_with_its_capabilities(page):
    stack = await page.get("/api/stack")
    assert stack["trace"] == "http://127.0.0.1:16686/trace/{trace_id}"
    assert stack["detectors"] == ["injection", "pii", "refusal", "tools", "toxicity"]
    found = stack["capabilities"]
    assert set(found) == {*DETECTORS, *RUNBOOK} - {"silence of a detector"}
    assert {name for name, one in found.items() if not one["alerts"]} == {*DETECTORS} - {*ALERTING}
    assert {name for name, one in found.items() if one["explains"]} == {*EXPLAINED}
    assert found["refusal"]["sides"] == ["output"]


WRONG_PLACES = ["yesterday", "nan", "inf", "1e999", "..../al_1", "/al_1", "e+/x", "'; DROP TABLE alerts", "1" * 401]


@pytest.mark.parametrize("before", WRONG_PLACES)
@pytest.mark.parametrize("path", ["/api/alerts", "/api/requests", "/api/retraining"])
async def test_an_invalid_cursor_is_an_error_that_names_the_allowed_values(page, path, before):
    status, error = await page.bad(path, before=before)
    assert status == 400
    assert error.startswith(
        f"parameter 'before' is {before[:100]!r}; allowed is the `next` of a page, or a time in sec"
    )


@pytest.mark.parametrize(("path", "parameters", "message"), CASES["invalid_parameters"])
async def test_an_invalid_parameter_is_an_error_that_names_the_allowed_values(page, path, parameters, message):
    status, error = await page.bad(path, **parameters)
    assert status == 400
    assert message in error


async def test_any_character_in_a_name_is_literal(page, demo):
    for name in ("\x00", "%", "'", '"', "\\", "\N{SNOWMAN}", "[", "null"):
        for path in ("/api/alerts", "/api/requests", "/api/drift"):
            await page.get(path, tenant=name)
        await page.get("/api/alerts", q=name)
        assert (await page.bad(f"/api/alerts/{quote(name, safe='')}"))[0] == 404
        assert (await page.bad(f"/api/requests/{quote(name, safe='')}"))[0] == 404


async def test_alerts_of_one_stream(page, demo):
    (first, *_) = (await page.get("/api/alerts", detector="drift", limit=500))["alerts"]
    named = {key: first[key] for key in ("tenant", "model", "side", "detector")}
    found = (await page.get("/api/alerts", limit=500, **named))["alerts"]
    assert first in found
    assert all(row | named == row for row in found)
    other = "output" if first["side"] == "input" else "input"
    assert first not in (await page.get("/api/alerts", **named | {"side": other}))["alerts"]


async def test_an_empty_part_selects_alerts_without_a_part(page, demo):
    every = (await page.get("/api/alerts", limit=500))["alerts"]
    assert (await page.get("/api/alerts", limit=500, part=""))["alerts"] == every
    assert (await page.get("/api/alerts", limit=500, part="tool_result"))["alerts"] == []


async def test_no_response_contains_text(page, demo):
    held = b"".join(path.read_bytes() for path in demo.glob("*.db*"))
    assert b"canary-prompt" not in held
    for path in ("/api/requests?limit=500", "/api/requests/r211", "/api/alerts?limit=500"):
        answer = await page.client.get(path, headers={"authorization": f"Bearer {page.secret}"})
        assert "canary-prompt" not in answer.text
        assert "canary-answer" not in answer.text


async def test_the_turns_of_a_conversation_are_found_by_any_of_its_requests(page, ledger):
    turns = [request(f"c{number}", 100.0 + number, conversation_id="talk") for number in (2, 1, 3)]
    ledger.apply(NAMES.inference, *turns, request("other", 101.5, conversation_id="another"), request("single", 103.0))
    found = (await page.get("/api/requests/c2/conversation"))["turns"]
    assert [(turn["request"]["request_id"], turn["at"]) for turn in found] == [
        ("c1", 101.0),
        ("c2", 102.0),
        ("c3", 103.0),
    ]
    assert all(turn["request"]["text"] is None for turn in found)
    newest = (await page.get("/api/requests/c1/conversation", limit=2))["turns"]
    assert [turn["request"]["request_id"] for turn in newest] == ["c2", "c3"]
    assert await page.get("/api/requests/single/conversation") == {"turns": []}
    status, error = await page.bad("/api/requests/nobody/conversation")
    assert (status, "no request 'nobody'" in error) == (404, True)


async def test_a_chain_without_kafka_is_an_answer_503(page):
    status, error = await page.bad("/api/models/m_0123456789ab/chain")
    assert status == 503
    assert error.startswith("no Kafka answers at 127.0.0.1:9; ")
