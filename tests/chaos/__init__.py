"""Repeated, seeded fault injection on a real Apache Kafka: ``make chaos``; docs/reliability.md has the figures."""
