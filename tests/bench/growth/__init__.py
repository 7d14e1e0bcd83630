"""How the stream grows: with workers and partitions, retained history, tenants, sources; ``make bench PARTS=growth``.

Each piece runs alone too (``growth.workers``, ``growth.history``, ``growth.tenants``, ``growth.sources``, ``growth.recovery``). Figures are
printed, never asserted; docs/benchmarks.md says where they bend and why.
"""

__all__ = ["PIECES"]

#: Piece: what it measures.
PIECES = {
    "ledger": "ledger: cost of an event and of a query, against retained events",
    "tenants": "watch and alert, one partition, two streams a tenant",
    "sources": "cost of a tick, P = 8",
    "workers": "score workers and partitions, with a detector of 5 ms an event",
    "history": "score against retained events",
    "recovery": "start of a watch worker with the state of many tenants in its changelog",
}
