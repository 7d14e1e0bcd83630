"""A listening socket for uvicorn."""

import socket


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port`; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the number of the protocol, asyncio sets TCP_NODELAY on the connections; else each reply waits 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener
