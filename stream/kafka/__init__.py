"""Access to Kafka: clients, readers, publisher, admin, ack tracker, health check."""
