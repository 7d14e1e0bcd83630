"""Capture: every request and its end, on disk before Kafka.

The request path never uses Kafka (docs/design/decisions.md). A gateway appends to its spool, a shipper process sends it to Kafka; every
accepted record is delivered, or in the spool, or counted in a gap record. How many records that Kafka rejects are kept: unsendable_records.py; at
which used share a spool raises an alert: stream/ledger/alerts/full_spool.py.

::

    Recorder (gateway)  ->  $WEIR_HOME/spool/<source>/*.seg  ->  run_shipper (one a node)  ->  Kafka
"""

from serving.capture.balance import Balance, read_balance
from serving.capture.recorder import Recorder

__all__ = ["Balance", "Recorder", "read_balance"]
