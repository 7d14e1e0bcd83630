"""The score app: every prompt and answer past every detector that it is owed, and the verdicts out again.

Stateless (no table), so that it scales with the partitions of inference; the models live in processes of their own.
"""
