"""Intake: record inferences that others served (KServe, LiteLLM, applications with OpenTelemetry), so that the detectors monitor them too.

::

    KServe's logger, LiteLLM's callback, OTLP exporters -- HTTP --> Intake --> ExchangePairer (SQLite: pairs, duplicates) --> Recorder --> spool --> shipper
"""
