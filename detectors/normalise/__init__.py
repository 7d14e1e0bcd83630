"""Normalise text: Unicode folding, disguises, emoji; every copy maps back to raw offsets."""
