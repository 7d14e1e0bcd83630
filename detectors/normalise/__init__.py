"""Normalised copies of a text, in which lookalike characters, emoji and disguises such as leetspeak are undone."""
