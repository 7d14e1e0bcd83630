"""A local Kafka on loopback: Apache Kafka, or the embedded broker, if the settings name no Kafka."""
