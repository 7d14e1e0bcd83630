"""Faults on a real Apache Kafka, again and again, from a seed: ``make chaos``; docs/reliability.md has the figures."""
