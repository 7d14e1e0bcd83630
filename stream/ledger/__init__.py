"""The ledger: joins every event with the verdicts that it is owed, and answers what became of a request.

Why this exists: it watches the watchers, so it shares nothing with them; no Faust, no consumer group, no table of theirs. One
plain consumer reads inference, verdicts, findings, feedback, alerts and retraining into SQLite: ids, numbers and offsets, never text.
It can be deleted and rebuilt from the log at will (``weir ledger rebuild``).
"""
