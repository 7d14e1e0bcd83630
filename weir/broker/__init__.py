"""The local broker: Apache Kafka or the embedded one, started on loopback where no Kafka is given."""

from weir.broker.admin import create_topics, list_topics
from weir.broker.launch import BrokerLaunch, BrokerPlan, launch_broker, plan_broker
from weir.broker.probe import broker_answers

__all__ = [
    "BrokerLaunch",
    "BrokerPlan",
    "broker_answers",
    "create_topics",
    "launch_broker",
    "list_topics",
    "plan_broker",
]
