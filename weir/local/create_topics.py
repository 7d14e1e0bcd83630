"""Create missing topics at the start of a stack, or later if Kafka does not answer at the start."""

import asyncio
from pathlib import Path

import msgspec

from stream.count_text import count_text
from stream.errors import BrokerError, TopicMismatch
from stream.kafka.admin import create_topics
from stream.settings import KafkaSettings
from stream.wire.topics import TIMESTAMP_TYPE, Topic
from weir.local.broker.launch import retention_bytes
from weir.local.plan import Plan, topics_pending
from weir.settings import Settings

__all__ = ["ensure_topics", "retry_pending", "topics_on"]


def ensure_topics(settings: Settings, broker: str, bootstrap: str) -> list[str]:
    """Create the topics that Kafka at `bootstrap` lacks, and return their names; raises TopicMismatch or BrokerError."""
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": bootstrap})
    return asyncio.run(create_topics(kafka.client_options(), topics_on(broker, kafka)))


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
        created = ensure_topics(settings, plan.broker, plan.bootstrap)
    except BrokerError:
        return ""
    except TopicMismatch as error:
        pending.unlink(missing_ok=True)
        return str(error)
    pending.unlink(missing_ok=True)
    return f"Kafka answers at {plan.bootstrap}; created {count_text(len(created), 'topic')}"
