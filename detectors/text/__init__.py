"""Detectors that score one text: toxicity, injection, refusal, language, groundedness, repetition, hub."""
