"""The event contract, the Faust applications ``score`` and ``watch``, the ledger, the bridge and replay."""
