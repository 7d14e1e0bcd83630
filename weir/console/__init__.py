"""The console: a web page over the ledger, served beside it on loopback (docs/console.md).

It reads the ledger's files as `weir show` does, writes what an operator could write with the command (silences, judgements of
alerts), and shows the text of a request only where somebody asks for that one, which is logged.
"""
