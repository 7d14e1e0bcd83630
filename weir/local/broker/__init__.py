"""The local broker: Apache Kafka or the embedded one, started on loopback where no Kafka is given."""

from stream.kafka.probe import broker_answers
from weir.local.broker.launch import BrokerLaunch, BrokerPlan, launch_broker, plan_broker
from weir.local.broker.topic_admin import create_topics, list_topics

__all__ = [
    "BrokerLaunch",
    "BrokerPlan",
    "broker_answers",
    "create_topics",
    "launch_broker",
    "list_topics",
    "plan_broker",
]
