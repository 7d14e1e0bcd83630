"""Intake: record inferences that others served (KServe, LiteLLM, applications with OpenTelemetry), so that the detectors monitor them too.

::

    KServe's logger, LiteLLM's callback, OTLP exporters -- HTTP --> Intake --> ExchangePairer (SQLite: pairs, duplicates) --> Recorder --> spool --> shipper
"""

from serving.intake.app import Intake
from serving.intake.exchange_pairer import ExchangePairer
from serving.intake.server import run_intake

__all__ = ["ExchangePairer", "Intake", "run_intake"]
