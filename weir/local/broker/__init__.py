"""The local broker: Apache Kafka or the embedded one, started on loopback where no Kafka is given."""

from stream.kafka.probe import broker_answers
from weir.local.broker.launch import BrokerLaunch, BrokerPlan, launch_broker, plan_broker

__all__ = [
    "BrokerLaunch",
    "BrokerPlan",
    "broker_answers",
    "launch_broker",
    "plan_broker",
]
