"""Addresses in settings: what is shown of one never holds the user and password that were written into it.

Why this exists: ``http://user:password@host`` is how a proxy's credentials are commonly given, and an address goes into metric labels, logs,
health and ``weir config``. So an :class:`Address` *is* the address without them; they are in its `headers` alone.
"""

import base64
import re
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["Address", "Link", "Servers", "Target", "redacted"]

_CREDENTIALS = re.compile(r"(https?://)?.*:.*@", re.DOTALL)
_MASK = "********@"


class Address(str):
    """An address to send to, ``http(s)://[user:password@]host[:port][/path]``, as it is without the part in brackets; "" is none.

    Parameters
    ----------
    text
        As it is written in the settings; what is special in a user or a password is percent-encoded.

    Attributes
    ----------
    headers
        ``{"authorization": "Basic …"}``, or {} where no user was given.

    Raises
    ------
    ValueError
        It is no such address; the text is not told.

    Examples
    --------
    >>> address = Address("http://ann:s%40crt@127.0.0.1:9093/alerts")
    >>> address
    'http://127.0.0.1:9093/alerts'
    >>> list(address.headers)
    ['authorization']
    """

    __slots__ = ("headers",)
    headers: dict[str, str]

    def __new__(cls, text: str) -> Self:
        """Part `text` into address and credentials."""
        parts = urlsplit(_checked(text))
        user, at, host = parts.netloc.rpartition("@")
        self = super().__new__(cls, parts._replace(netloc=host).geturl() if at else text)
        self.headers = {"authorization": _basic(user)} if at else {}
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Take a string, or an address as it is."""
        return core_schema.no_info_wrap_validator_function(
            lambda value, string: value if isinstance(value, cls) else cls(string(value)), core_schema.str_schema()
        )


def _checked(text: str) -> str:
    if text and not _is_address(text):
        raise ValueError(
            "it is no http(s)://[user:password@]host[:port][/path] (within user, password and path @ is %40, / is %2F, : is %3A)"
        )
    return text


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    named = parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
    return named and not re.search(r"\s", text) and text.count("@") == int("@" in parts.netloc)


def _basic(user: str) -> str:
    name, _colon, password = user.partition(":")
    return "Basic " + base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()


def redacted(text: str) -> str:
    """Return `text`, which may be no address at all, without what could be a user and a password.

    Examples
    --------
    >>> redacted("htp:/ann:secret@host"), redacted("pii@strict")
    ('********@host', 'pii@strict')
    """
    return _CREDENTIALS.sub(rf"\1{_MASK}", text)


def _given(address: Address) -> Address:
    if not address:
        raise ValueError("it is empty")
    return address


def _without_user(text: str) -> str:
    if "@" in urlsplit(text).netloc:
        raise ValueError("it is shown to people, so that it takes no user and password; let its page ask for them")
    return text


def _without_sasl(text: str) -> str:
    if "@" in text:
        raise ValueError("it takes no user and password; set kafka.sasl_username and kafka.sasl_password")
    return text


#: An address that must be given.
Target = Annotated[Address, AfterValidator(_given)]
#: An address that people are shown.
Link = Annotated[str, AfterValidator(_without_user)]
#: ``host:port[,host:port]`` of Kafka.
Servers = Annotated[str, AfterValidator(_without_sasl)]
