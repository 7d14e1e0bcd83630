"""Queries over the ledger's files, for the command and the console."""
