"""Intake: record inferences that another gateway served (KServe, LiteLLM), so that the detectors monitor them too.

::

    KServe's logger, LiteLLM's callback -- HTTP --> Intake --> ExchangePairer (SQLite: pairs, duplicates) --> Recorder --> spool --> shipper
"""

from serving.intake.app import Intake
from serving.intake.exchange_pairer import ExchangePairer
from serving.intake.server import run_intake

__all__ = ["ExchangePairer", "Intake", "run_intake"]
