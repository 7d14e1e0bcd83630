"""The summary of an alert: what happened, to which model and tenant, since when, and how big."""

import msgspec
import pytest
from support.alert_log import Alerts, bucket_finding
from support.signal_log import finding_of

from stream.stages.alert.summary import change, clock, number

CLUSTER = {"topic_since": 4.0, "topic_since_share_before": 0.16, "topic_since_share": 0.58}
REGION = {"share_before": 0.05, "share_since": 1.0}
MEANS = {"reference_mean": 41.2, "reference_deviation": 6.0, "recent_mean": 380.0, "direction": 1.0}

PAIRED = {"terms:religion.Christian.Muslim": 1.0, "reference_term_mean": 50.0, "compared_term_mean": 40.0, "pairs": 1.0}
REFUSED = PAIRED | {"reference_term_mean": 0.02, "compared_term_mean": 0.12, "pairs": 80.0}


@pytest.mark.parametrize(
    ("feature", "details", "parts"),
    [
        ("topics", CLUSTER, ("cluster 4", "58 %", "16 %", "prompts")),
        ("embedding", REGION, ("100 % of recent prompts", "reference region", "expected 5 %")),
        ("characters", MEANS, ("characters rose to a mean of 380 (reference: mean 41.2, standard deviation 6)",)),
        (
            "characters",
            {"reference_mean": 41.2, "reference_factor": 1.5, "recent_mean": 380.0, "direction": 1.0},
            ("characters rose to a geometric mean of 380 (reference: 41.2, most values within a factor of 1.5)",),
        ),
        ("characters", MEANS | {"direction": -1.0}, ("characters changed to a mean of 380",)),
        ("characters", {"reference_mean": 2.0, "recent_mean": 1.0}, ("characters changed to 1 ", "reference 2)")),
        (
            "words",
            PAIRED,
            ("with 'Muslim' in the prompt instead of 'Christian' (religion)", "40 instead of 50 (-20 %), 1 pair"),
        ),
        ("score_refusal", REFUSED, ("12 % refusals instead of 2 %, 80 pairs",)),
        ("sentiment", REFUSED, ("sentiment 0.12 instead of 0.02, 80 pairs",)),
    ],
)
def test_a_change_is_stated_with_its_numbers(feature, details, parts):
    text = change(feature, "input", details)
    assert [part for part in parts if part not in text] == []


@pytest.mark.parametrize(("feature", "details"), [("characters", {}), ("topics", REGION), ("total", {"total": 3.0})])
def test_details_without_a_change_have_no_text(feature, details):
    assert change(feature, "input", details) == ""


def summary_of(event, **changes):
    (opened,) = Alerts().run([msgspec.structs.replace(event, data=msgspec.structs.replace(event.data, **changes))])
    return opened.data.summary


@pytest.mark.parametrize(
    ("summary", "parts"),
    [
        (
            summary_of(bucket_finding(1), details=REGION | {"changed_at": 7.0}, statistic=30401.2, limit=1000.0),
            (
                "Prompt drift on m: 100 %",
                "Since 00:00:07 UTC. The alerting windows have 10 events of 2 API keys.",
                "Statistic 30,401, limit 1,000.",
            ),
        ),
        (
            summary_of(bucket_finding(1, "anomaly", side="output"), feature="latency_seconds", details=MEANS),
            (
                "Answer anomaly on m: latency_seconds rose to a mean of 380",
                "Since 00:00:10 UTC",
                "Statistic 20, limit 10.",
            ),
        ),
        (summary_of(bucket_finding(1), details=REGION | {"changed_at": 99.0}), ("Since 00:00:10 UTC.",)),
        (summary_of(bucket_finding(1, "sentinel", side="output")), ("Answer change on m: ", "fixed prompts")),
        (summary_of(bucket_finding(1, "of your own")), ("Prompt of your own on m: embedding differs", "10 events")),
        (
            summary_of(finding_of("r1", 100.0, "pii")),
            ("Personal data in prompts to m: 1 finding, highest score 0.90.", "Since 00:01:40 UTC, 1 API key."),
        ),
        (summary_of(finding_of("r1", 100.0, "toxicity")), ("Toxic language in prompts to m: 1 finding",)),
        (summary_of(finding_of("r1", 100.0, "injection")), ("Prompt injection in prompts to m: 1 finding",)),
    ],
)
def test_a_summary_names_subject_model_tenant_time_and_numbers(summary, parts):
    assert [part for part in (*parts, "Tenant acme.") if part not in summary] == []


@pytest.mark.parametrize(
    ("value", "text"), [(0.51234, "0.5123"), (999.94, "999.9"), (1000.0, "1,000"), (-2500.0, "-2,500")]
)
def test_a_number_has_no_exponent(value, text):
    assert number(value) == text


def test_a_time_of_another_day_has_its_date():
    assert (clock(86_390.0, 86_399.0), clock(86_390.0, 86_400.0)) == ("23:59:50 UTC", "1970-01-01 23:59:50 UTC")


def test_a_change_of_the_called_tools_names_the_tools_if_the_finding_has_their_names():
    details = {"recent_mean": 0.5, "reference_mean": 0.0, "direction": 1.0}
    assert change("tool_bucket_07", "output", details) == "tool_bucket_07 rose to 0.5 (reference 0)"
    named = change("tool_bucket_07", "output", details | {"tool:erase": 9.0, "tool:drop": 2.0})
    assert named == "calls of erase, drop (tool_bucket_07) rose to 0.5 (reference 0)"


def test_a_share_of_slow_requests_is_stated_with_its_limit_in_seconds():
    details = {"recent_mean": 0.05, "reference_mean": 0.02, "slow_seconds": 4.267, "direction": 1.0}
    text = change("slow_requests", "output", details)
    assert text == "5 % of recent answers took 4.27 s or longer (reference 2 %)"


def test_the_features_of_earlier_alarms_stay_in_the_summary():
    alarms = [
        msgspec.structs.replace(
            event := bucket_finding(number), data=msgspec.structs.replace(event.data, feature=feature)
        )
        for number, feature in enumerate(("latency", "error", "latency", "error", "latency"), 1)
    ]
    opened, *_, resolved = Alerts().run([*alarms, *(bucket_finding(number, alarm=False) for number in (6, 7, 8))])
    assert "Earlier alarms" not in opened.data.summary
    assert "limit 10. Earlier alarms of this alert: error. Tenant acme. Resolved" in resolved.data.summary
