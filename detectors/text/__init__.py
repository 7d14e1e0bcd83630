"""Detectors that score one text: toxicity, injection, refusal, language, groundedness, consistency, leak, repetition, tools, hub."""
