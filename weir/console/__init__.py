"""The console: a web page over the ledger, served beside it on loopback (docs/console.md).

It reads the ledger's files, publishes what the command can publish (silences, reviews of alerts), and reads the text of a request only on
request, after the access is logged.
"""
