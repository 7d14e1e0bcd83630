"""The score stage turns requests and end records into verdicts, signals and findings.

It has no table, so it scales with the partitions of inference. The models run in separate processes.
"""
