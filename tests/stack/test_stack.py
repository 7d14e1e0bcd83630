"""Requests to the stack of the compose files: traces in Jaeger and MLflow, metrics in Prometheus, alerts in Alertmanager and a webhook."""

import asyncio
import json
import re
import uuid

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.helpers import create_ssl_context
from support.conventions import SpanSeen, departures
from support.receiver import is_signed
from support.stack import until

pytestmark = pytest.mark.timeout(2700)

PARENT_SPAN = "b7ad6b7169203331"
WANTED = {
    "POST /v1/chat/completions",
    "chat smollm2-135m-instruct",
    "send weir.inference",
    "process weir.inference",
    "evaluate pii",
    "alert pii",
}
PERSONAL = "Write to Anna Berg, anna.berg@example.com, or call +1 415 555 0132 about card 4111 1111 1111 1111."
PLAIN = 40
#: Jaeger's name of a span's kind, in lower case.
KINDS = {"server": "SERVER", "client": "CLIENT", "producer": "PRODUCER", "consumer": "CONSUMER"}


@pytest.fixture(scope="session")
def traffic(stack, endpoint):
    """Send one request with personal data, then requests without, each in a new trace of the client; return the trace ids."""
    key = stack.path("serving", "/var/lib/weir/api-key").read_text().strip()
    with httpx.Client(base_url=endpoint, timeout=300, trust_env=False) as client:

        def ask(text):
            trace = uuid.uuid4().hex
            headers = {"authorization": f"Bearer {key}", "traceparent": f"00-{trace}-{PARENT_SPAN}-01"}
            body = {"model": "smollm2-135m-instruct", "max_tokens": 1, "messages": [{"role": "user", "content": text}]}
            assert client.post("/v1/chat/completions", json=body, headers=headers).status_code == 200
            return trace

        flagged = ask(PERSONAL)
        return flagged, [ask(f"What is {number} plus {number}?") for number in range(PLAIN)]


def jaeger_spans(stack, trace):
    answer = httpx.get(f"{stack.url('jaeger', 16686)}/api/traces/{trace}", timeout=30, trust_env=False)
    found = answer.json().get("data") or []
    return found[0]["spans"] if found else []


def mlflow_spans(stack, trace):
    url = f"{stack.url('mlflow', 5000)}/api/3.0/mlflow/traces/get"
    answer = httpx.get(url, params={"trace_id": f"tr-{trace}"}, timeout=60, trust_env=False)
    return answer.json()["trace"].get("spans", []) if answer.status_code == 200 else []


def query(stack, expression):
    url = f"{stack.url('prometheus', 9090)}/api/v1/query"
    answer = httpx.get(url, params={"query": expression}, timeout=30, trust_env=False).json()
    return {json.dumps(one["metric"], sort_keys=True): float(one["value"][1]) for one in answer["data"]["result"]}


def test_the_trace_of_an_alert_is_complete_in_jaeger_and_has_the_context_of_the_client(stack, traffic):
    flagged, _ = traffic
    spans = until("the trace in Jaeger", lambda: whole(jaeger_spans(stack, flagged), "operationName"), 300)
    (root,) = [span for span in spans if span["operationName"] == "POST /v1/chat/completions"]
    assert [(ref["refType"], ref["spanID"]) for ref in root["references"]] == [("CHILD_OF", PARENT_SPAN)]
    known = {span["spanID"] for span in spans}
    parents = {ref["spanID"] for span in spans for ref in span["references"] if ref["refType"] == "CHILD_OF"}
    assert parents - known == {PARENT_SPAN}
    assert departures(map(seen, spans)) == []
    assert "anna.berg" not in json.dumps(spans)


def test_the_same_trace_opens_in_mlflow(stack, traffic):
    flagged, _ = traffic
    here = until("the trace in MLflow", lambda: whole(mlflow_spans(stack, flagged), "name"), 300)
    there = until("the trace in Jaeger", lambda: whole(jaeger_spans(stack, flagged), "operationName"), 60)
    assert {span["name"] for span in here} == {span["operationName"] for span in there}


def test_some_ordinary_traces_are_dropped_and_both_stores_have_the_others(stack, traffic):
    _, plain = traffic
    decided = "sum(otelcol_processor_tail_sampling_global_count_traces_sampled)"
    until("a decision on every trace", lambda: sum(query(stack, decided).values()) > PLAIN, 300)
    until(
        "empty queues",
        lambda: (
            query(stack, "sum(otelcol_exporter_queue_size)")
            and not sum(query(stack, "sum(otelcol_exporter_queue_size)").values())
        ),
        300,
    )
    kept = {trace for trace in plain if jaeger_spans(stack, trace)}
    assert len(kept) < PLAIN
    until("the same in MLflow", lambda: {trace for trace in plain if mlflow_spans(stack, trace)} == kept, 300)


def test_prometheus_scrapes_every_process(stack, traffic):
    wanted = {"shipper", "score", "watch", "ledger", "bridge", "serve", "gateway", "model", "ray"}

    def components():
        up = [json.loads(metric) for metric, value in query(stack, 'up{job="weir"}').items() if value == 1]
        return wanted <= {metric["component"] for metric in up}

    until("every component in Prometheus", components, 240)
    answered = "sum(gen_ai_server_request_duration_seconds_count)"
    until("the requests in Prometheus", lambda: sum(query(stack, answered).values()) == PLAIN + 1, 240)
    assert sum(query(stack, 'count(up{job=~"weir-traces|alertmanager|prometheus"} == 1)').values()) == 4


def test_the_alert_is_in_alertmanager(stack, traffic):
    def firing():
        url = f"{stack.url('alertmanager', 9093)}/api/v2/alerts"
        alerts = httpx.get(url, timeout=30, trust_env=False).json()
        return [alert for alert in alerts if alert["labels"].get("detector") == "pii"]

    alert = until("the alert in Alertmanager", firing, 300)[0]
    assert alert["labels"]["tenant"] == "default"
    assert alert["status"]["state"] in {"active", "unprocessed"}


def test_a_webhook_receives_the_signed_alert_with_its_trace(stack, traffic, pager, pager_secret):
    flagged, _ = traffic
    told = until("the alert at the webhook", lambda: personal(pager), 300)
    assert all(is_signed(one, pager_secret) for one in pager.seen)
    assert [one.headers["webhook-id"] for one in told] == [f"{told[0].message['data']['alert_id']}.firing.warning"]
    message = told[0].message
    assert (message["type"], message["data"]["tenant"]) == ("weir.alert.firing", "default")
    assert message["data"]["trace_url"].endswith(f"/trace/{flagged}")
    assert message["data"]["runbook_url"].endswith("#pii")


def test_alerts_can_be_read_as_the_kafka_user_reader(stack, traffic):
    done = stack.run("cli", "weir", "alerts", "--json")
    assert done.returncode == 0, done.stderr
    assert "pii" in {json.loads(line)["detector"] for line in done.stdout.splitlines()}


def test_kafka_denies_no_needed_access_but_denies_prompts_to_the_shipper(stack, traffic):
    denied = re.findall(r"Principal = User:(\w+) is (?i:denied) .*", stack.log("kafka"))
    assert denied == []

    async def read():
        secrets = stack.path("shipper", "/run/secrets")
        consumer = AIOKafkaConsumer(
            "weir.inference",
            bootstrap_servers=f"{stack.address['kafka']}:9093",
            security_protocol="SASL_SSL",
            ssl_context=create_ssl_context(cafile=str(secrets / "kafka-ca")),
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username="shipper",
            sasl_plain_password=(secrets / "kafka-user-shipper").read_text().strip(),
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            return await asyncio.wait_for(consumer.getone(), 60)
        finally:
            await consumer.stop()

    with pytest.raises(TopicAuthorizationFailedError):
        asyncio.run(read())


def test_the_user_operator_can_silence_an_alert_and_the_user_reader_cannot(stack, traffic, pager):
    """This test must run last: Kafka denies a write in it, and another test checks that Kafka denied nothing."""
    alert = until("the alert at the webhook", lambda: personal(pager), 300)[0].message["data"]["alert_id"]
    silence = ("weir", "alerts", "silence", alert, "--for", "1h", "--reason", "a test")
    refused = stack.run("cli", *silence)
    assert (refused.returncode, "reader may not write to weir.alerts" in refused.stderr) == (1, True), refused.stderr
    done = stack.run("operator", *silence)
    assert done.returncode == 0, done.stderr
    listed = stack.run("cli", "weir", "alerts", "silences", "--json")
    assert alert in listed.stdout, listed.stderr


def personal(pager):
    return [one for one in pager.accepted if one.message["data"]["detector"] == "pii"]


def whole(spans, name):
    return spans if {span[name] for span in spans} >= WANTED else None


def seen(span):
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    logs = [{field["key"]: field["value"] for field in log["fields"]} for log in span["logs"]]
    kind = KINDS.get(tags.pop("span.kind", "internal"), "INTERNAL")
    return SpanSeen(
        name=span["operationName"], kind=kind, attributes=tags, events=[(log.pop("event", ""), log) for log in logs]
    )
