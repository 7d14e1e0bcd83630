"""The ledger: joins every event with its expected verdicts, and answers queries about requests, alerts and coverage.

It monitors the stages, so it shares nothing with them: no Faust, no consumer group, no table. One consumer reads the
topics and stores ids, numbers and offsets in SQLite, never text. The files can be deleted and rebuilt from the log at
any time (``weir ledger rebuild``).
"""
