"""A local Kafka on loopback, for settings without a Kafka address: Apache Kafka or the embedded broker."""
