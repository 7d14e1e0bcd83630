"""Everything that talks to Kafka: clients, readers, publisher, admin, ack tracker, probe."""
