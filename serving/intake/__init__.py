"""Intake: what another gateway served, as requests and ends of Weir's own, so that the detectors watch it too.

Why this exists: teams that already serve through KServe or LiteLLM can be watched without serving through Weir. What they send goes
through capture like everything else (spool, shipper, Kafka), so that nothing of it is unaccounted for either.

::

    KServe's logger, LiteLLM's callback ── HTTP ──► Intake ──► Desk (SQLite: pairs, repeats) ──► Recorder ──► spool ──► shipper
"""

from serving.intake.app import Intake
from serving.intake.exchange_pairer import Desk
from serving.intake.server import run_intake

__all__ = ["Desk", "Intake", "run_intake"]
