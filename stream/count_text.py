"""A number with its noun, in the singular for 1."""


def count_text(number: int, noun: str, plural: str = "") -> str:
    """Return "1 request" or "2 requests"; `plural` replaces `noun` and its "s" ("alert is", "alerts are")."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
