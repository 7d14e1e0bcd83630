"""Recognition of IP addresses, but not of similar version numbers, object identifiers, array slices and C++ scopes."""

import ipaddress
import re

from detectors.pii.rules import AFTER, BEFORE, RULES

#: Scores: a public address flags a text; a private address, or one that may be a version, is only reported.
PUBLIC, REPORTED = 0.7, 0.45
#: The only block of public IPv6 addresses (RFC 4291).
_UNICAST = ipaddress.IPv6Network("2000::/3")
_LOCAL = re.compile(r"(?i)(?:fe[89ab][0-9a-f]|f[cd][0-9a-f]{2}):")
#: Versions have small numbers: without a word such as "ip" nearby, four numbers below this may be a version.
_SMALL = 64
_LONGER_BEFORE = re.compile(r"(?:[^\W\d]|\.|(?<!\.\d)(?<!\.\d\d)(?<!\.\d\d\d)-|[=<>~!]= ?|[~^]|[^\W\d][\w.\-]*/|\d)\Z")
_LONGER_AFTER = re.compile(r"\.\w|-(?!\d{1,3}\.\d)\w|[~+_]")
_WORDS = re.compile(rf"(?<![^\W_])(?:(?P<ip>{'|'.join(RULES.ip_words)})|{'|'.join(RULES.version_words)})(?![^\W_])")


def ip_score(text: str, lower: str, start: int, end: int) -> float:
    """Return the score of a candidate; 0 if it is not an IP address."""
    before, found, after = text[max(0, start - BEFORE) : start], text[start:end], text[end : end + AFTER]
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return 0.0
    if isinstance(address, ipaddress.IPv6Address):
        return 0.0 if before[-1:] == ":" or re.match(r"[\w:]", after) else _score_v6(address, found)
    if _LONGER_BEFORE.search(before) or _LONGER_AFTER.match(after):
        return 0.0
    return _score_v4(address, lower[max(0, start - BEFORE) : start], lower[end : end + AFTER])


def _score_v4(address: ipaddress.IPv4Address, before: str, after: str) -> float:
    words = [word["ip"] is not None for word in _WORDS.finditer(before)]
    if words and not words[-1]:
        return 0.0
    if not address.is_global or address.is_multicast:
        return REPORTED
    said = bool(words) or any(word["ip"] for word in _WORDS.finditer(after))
    # An address that ends with 0 is a network, not a machine.
    return PUBLIC if said or (max(address.packed) >= _SMALL and address.packed[-1]) else REPORTED


def _score_v6(address: ipaddress.IPv6Address, found: str) -> float:
    groups = [group for group in found.split(":") if group]
    whole = len(groups) == 8 and max(map(len, groups)) > 2
    if not whole and (len(groups[0]) < 4 or address not in _UNICAST or len(groups) < 3):
        return REPORTED if _LOCAL.match(found) else 0.0
    return PUBLIC if address.is_global and not address.is_multicast else REPORTED
