"""Convert bytes of unknown origin to text that is safe to print."""

__all__ = ["escaped"]


def escaped(raw: bytes) -> str:
    r"""Return `raw` as text that cannot control a terminal; control characters and invalid UTF-8 become escapes (``\x1b``)."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() or character in "\n\t" else character.encode("unicode_escape").decode()
        for character in text
    )
