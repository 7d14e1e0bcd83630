"""A chain in standard formats: W3C PROV-JSON and OpenLineage run events.

Specifications: https://www.w3.org/submissions/prov-json/ and https://openlineage.io/docs/spec/.
"""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from openlineage.client import event_v2 as lineage
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider
from prov.model import ProvDocument

from stream.address import Address
from stream.errors import LineageRefused
from stream.loop.lineage.chain import Chain

_NAMESPACE = "urn:weir:"
#: Steps that are activities; every other step is an entity.
_ACTIVITIES = frozenset({"requested", "approved", "trained", "completed", "blessed", "refused", "route"})
#: The jobs of OpenLineage, by the step that ends them.
_JOBS = {"trained": "training", "completed": "training", "blessed": "gate", "refused": "gate", "route": "delivery"}


def prov_json(chain: Chain) -> str:
    """Return the chain as a PROV-JSON document: records are entities, and steps such as the training are activities."""
    document = ProvDocument()
    document.add_namespace("weir", _NAMESPACE)
    for node in chain.nodes:
        identity, facts = _name(node.id), {f"weir:{name}": value for name, value in node.facts.items()}
        facts |= {"prov:type": node.kind} | ({"weir:place": node.place} if node.place else {})
        if node.kind in _ACTIVITIES:
            document.activity(identity, None, datetime.fromtimestamp(node.at, UTC), facts)
        else:
            document.entity(identity, facts)
        if who := node.facts.get("by"):
            agent = document.agent(_name(str(who)))
            relate = document.wasAssociatedWith if node.kind in _ACTIVITIES else document.wasAttributedTo
            relate(identity, agent)
    kinds = {node.id: node.kind in _ACTIVITIES for node in chain.nodes}
    for edge in chain.edges:
        if edge.broken or not {edge.cause, edge.effect} <= kinds.keys():
            continue
        cause, effect = _name(edge.cause), _name(edge.effect)
        if kinds[edge.cause] and kinds[edge.effect]:
            document.wasInformedBy(effect, cause)
        elif kinds[edge.cause]:
            document.wasGeneratedBy(effect, cause)
        elif kinds[edge.effect]:
            document.used(effect, cause)
        else:
            document.wasDerivedFrom(effect, cause)
    return str(document.serialize(format="json"))


def open_lineage(chain: Chain) -> list[lineage.RunEvent]:
    """Return one COMPLETE event for each job that the version went through: training, gate, delivery."""
    inputs = [node.id for node in chain.nodes if node.kind == "dataset"]
    events = []
    for node in chain.nodes:
        if (job := _JOBS.get(node.kind)) is None:
            continue
        training = job == "training"
        event = lineage.RunEvent(
            eventType=lineage.RunState.COMPLETE,
            eventTime=datetime.fromtimestamp(node.at, UTC).isoformat(),
            run=lineage.Run(runId=str(uuid.UUID(bytes=hashlib.blake2b(node.id.encode(), digest_size=16).digest()))),
            job=lineage.Job(namespace="weir", name=f"{chain.tenant}/{chain.model}/{job}"),
            producer=f"{_NAMESPACE}lineage",
            inputs=[
                lineage.InputDataset(namespace="weir", name=name) for name in (inputs if training else [chain.version])
            ],
            outputs=[lineage.OutputDataset(namespace="weir", name=chain.version)] if training else [],
        )
        events.append(event)
    return events


def send_open_lineage(events: Sequence[lineage.RunEvent], url: Address, api_key: str = "") -> str:
    """Send events to the OpenLineage API below `url`, and return its address; raises LineageRefused.

    A run has the same id each time, so the receiver replaces earlier events of the run. `api_key` is the bearer token.
    Statuses 500, 502, 503 and 504 are retried 5 times, within about 10 s.
    """
    base = f"{url.rstrip('/')}/"  # the transport replaces the part behind the last slash
    auth = ApiKeyTokenProvider({"api_key": api_key}) if api_key else TokenProvider({})
    transport = HttpTransport(HttpConfig(url=base, auth=auth, custom_headers=url.headers))
    try:
        for event in events:
            transport.emit(event)
    except OSError as error:  # the base of the exceptions of requests
        answer = getattr(error, "response", None)
        what = type(error).__name__ if answer is None else f"status {answer.status_code}"
        raise LineageRefused(
            f"{base}{transport.endpoint} did not accept an event: {what}; check the URL, and OPENLINEAGE_API_KEY if it needs a key"
        ) from error
    finally:
        transport.close()
    return f"{base}{transport.endpoint}"


def _name(identity: str) -> str:
    return f"weir:{identity.replace(' ', '-')}"
