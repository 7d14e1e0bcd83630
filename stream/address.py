"""Addresses in settings; their user and password are never shown.

Users write a proxy's credentials as ``http://user:password@host``, but addresses appear in metric labels, logs, health and ``weir config``. So the
text of an :class:`Address` has no credentials; only `headers` contains them.
"""

import base64
import re
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_CREDENTIALS = re.compile(r"(https?://)?.*:.*@", re.DOTALL)
_MASK = "********@"
StrT = TypeVar("StrT", bound=str)


class Address(str):
    """The address in ``http(s)://[user:password@]host[:port][/path]``, without credentials; "" means no address.

    `headers` is ``{"authorization": "Basic …"}``, or {} if the address has no user. Special characters in user and
    password are percent-encoded. Any other form raises a ValueError that does not quote the text.
    """

    __slots__ = ("headers",)
    headers: dict[str, str]

    def __new__(cls, text: str) -> Self:
        """Split `text` into address and credentials."""
        parts = urlsplit(_checked(text))
        user, at, host = parts.netloc.rpartition("@")
        self = super().__new__(cls, parts._replace(netloc=host).geturl() if at else text)
        self.headers = {"authorization": _basic(user)} if at else {}
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a string or an Address."""
        return core_schema.no_info_wrap_validator_function(
            lambda value, string: value if isinstance(value, cls) else cls(string(value)), core_schema.str_schema()
        )


class WebhookAddress(Address):
    """The address of a webhook, whose path and query can contain a token; only `shown` is for people."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """The address with a mask in place of path and query."""
        parts = urlsplit(self)
        origin = parts._replace(path="", query="", fragment="").geturl()
        return f"{origin}/********" if parts.path.strip("/") or parts.query else str(self)


def _checked(text: str) -> str:
    if text and not is_address(text):
        raise ValueError(
            "it is not http(s)://[user:password@]host[:port][/path] (in user, password and path write @ as %40, / as %2F, : as %3A)"
        )
    return text


def is_address(text: str) -> bool:
    """Return whether `text` is ``http(s)://[user:password@]host[:port][/path]``."""
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
    """Return `text` with a mask in place of any part that could be a user and password."""
    return _CREDENTIALS.sub(rf"\1{_MASK}", text)


def _given(address: StrT) -> StrT:
    if not address:
        raise ValueError("it is empty")
    return address


def _without_user(text: str) -> str:
    if "@" in urlsplit(text).netloc:
        raise ValueError("it is shown to people and must not contain a user and password; the page can ask for them")
    return text


def _without_sasl(text: str) -> str:
    if "@" in text:
        raise ValueError("it must not contain a user and password; set kafka.sasl_username and kafka.sasl_password")
    return text


def _with_ports(text: str) -> str:
    # For an empty name, the clients try this machine.
    servers = [server for server in map(str.strip, text.split(",")) if server]
    for server in servers:
        host, colon, port = server.rpartition(":")
        if not colon and "/" not in server:  # the client adds Kafka's port, 9092
            continue
        if not (host and "/" not in host and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 1 << 16):
            raise ValueError(f"{server!r} is not host:port with a port from 1 to 65535")
    return ",".join(servers)


#: An address to listen on; with an empty one, a server listens on all addresses of the machine.
Host = Annotated[str, AfterValidator(_given)]
#: A required address.
Target = Annotated[Address, AfterValidator(_given)]
#: A required address of a webhook.
WebhookTarget = Annotated[WebhookAddress, AfterValidator(_given)]
#: An address that is shown to people.
Link = Annotated[str, AfterValidator(_without_user)]
#: An address of a trace, which is shown to people; ``{trace_id}`` in it is replaced.
TraceLink = Annotated[str, Field(pattern=r"^$|^https?://\S*\{trace_id\}\S*$"), AfterValidator(_without_user)]
#: ``host:port[,host:port]`` of Kafka.
Servers = Annotated[str, AfterValidator(_without_sasl), AfterValidator(_with_ports)]
