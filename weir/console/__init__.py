"""The console: a web page with the ledger's data; the ledger's process serves this page on loopback (docs/console.md).

The console reads the ledger's files, and publishes silences and reviews of alerts. It reads a prompt or an answer
only when the user requests the text, and logs the access first.
"""
