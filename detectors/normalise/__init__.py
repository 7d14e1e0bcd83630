"""Normalised copies of a text: Unicode folded, emoji and disguises such as leetspeak removed."""
