"""Create missing topics at the start of a stack, or later if Kafka does not answer at the start."""

import asyncio
from pathlib import Path

import msgspec

from stream.count_text import count_text
from stream.errors import BrokerError, TopicMismatch
from stream.kafka.admin import correct_retention, create_topics
from stream.settings import KafkaSettings
from stream.wire.topics import TIMESTAMP_TYPE, Topic
from weir.local.broker.launch import retention_bytes
from weir.local.plan import Plan, topics_pending
from weir.settings import Settings


def ensure_topics(settings: Settings, broker: str, bootstrap: str) -> tuple[list[str], str]:
    """Create the topics that Kafka at `bootstrap` lacks; on a local broker, also change the retention of the others.

    Return the names of the created topics, and a note about retention that was not that of the settings, or "". Raises TopicMismatch or BrokerError.
    """
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap})
    return asyncio.run(_ensure(kafka, topics_on(broker, kafka), alter=broker != "given"))


async def _ensure(kafka: KafkaSettings, topics: list[Topic], *, alter: bool) -> tuple[list[str], str]:
    options = kafka.client_options()
    created = await create_topics(options, topics)
    different = await correct_retention(options, topics, alter=alter)
    if not different:
        return created, ""
    names = ", ".join(required.name for _, required in different)
    found, required = different[0]
    values = f"{_kept(found)}; [kafka] retention_hours and retention_bytes require {_kept(required)}"
    if alter:
        return created, f"changed the retention of {names}. Before, {found.name} kept {values}"
    limits = {key: value for key, value in required.config().items() if key.startswith(("retention.", "segment."))}
    config = ",".join(f"{key}={value}" for key, value in limits.items())
    return created, (
        f"{found.name} keeps {values}. Weir sets them only when it creates a topic. Change the retention of {names}: kafka-configs.sh "
        f"--bootstrap-server {kafka.bootstrap_servers} --alter --entity-type topics --entity-name {required.name} --add-config {config}"
    )


def _kept(topic: Topic) -> str:
    return f"{topic.retention_ms / 3_600_000:g} h and {topic.retention_bytes} bytes"


def topics_on(broker: str, kafka: KafkaSettings) -> list[Topic]:
    """Return Weir's topics with the settings for a broker ``given``, ``apache`` or ``embedded``.

    The embedded broker keeps the producers' timestamps: if it sets timestamps itself, it loses headers of the same name.
    """
    kept, dated = retention_bytes(broker, kafka), "CreateTime" if broker == "embedded" else TIMESTAMP_TYPE
    return [
        msgspec.structs.replace(topic, retention_bytes=min(kept, topic.retention_bytes), timestamp_type=dated)
        for topic in kafka.topics()
    ]


def retry_pending(plan: Plan, settings: Settings) -> str:
    """Try once to create the topics that could not be created at the start; return a line to log, or "" if nothing changed."""
    pending = topics_pending(Path(plan.home))
    if not pending.exists():
        return ""
    try:
        created, note = ensure_topics(settings, plan.broker, plan.bootstrap)
    except BrokerError:
        return ""
    except TopicMismatch as error:
        pending.unlink(missing_ok=True)
        return str(error)
    pending.unlink(missing_ok=True)
    return f"Kafka answers at {plan.bootstrap}; created {count_text(len(created), 'topic')}{note and f'; {note}'}"
