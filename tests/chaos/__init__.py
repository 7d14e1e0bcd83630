"""Faults on a real Apache Kafka, again and again, from a seed: ``python -m chaos``; docs/reliability.md has the figures."""
