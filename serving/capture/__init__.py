"""Capture: write each request and its end to disk, then send them to Kafka.

The request path never uses Kafka (docs/design/decisions.md). A gateway appends records to its spool, and a shipper process sends them to Kafka. Each
accepted record is delivered, in the spool, or dropped and counted in a gap record. spool_layout.py sets the number of rejected records that are kept;
stream/ledger/alerts/full_spool.py sets the size at which a spool raises an alert.

::

    Recorder (gateway)  ->  $WEIR_HOME/spool/<source>/*.seg  ->  Shipper (one per node)  ->  Kafka
"""
