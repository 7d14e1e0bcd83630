"""Normalised copies of a text, without lookalike characters, emoji and disguises such as leetspeak."""
