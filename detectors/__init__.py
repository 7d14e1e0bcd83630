"""The detectors, in pure Python: this package imports no Kafka, no Ray and no settings, and reads no clock."""
