"""Pure online detectors: no Kafka, no Ray, no settings, no clock."""
