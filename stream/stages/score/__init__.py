"""The score stage: requests and ends to verdicts, signals and findings.

It has no table, so it scales with the partitions of inference. The models are in processes of their own.
"""
