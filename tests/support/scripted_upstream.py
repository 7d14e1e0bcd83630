"""An OpenAI-compatible server on a free loopback port that sends scripted answers byte by byte, and keeps the requests."""

import asyncio
import json
from contextlib import asynccontextmanager, suppress

DONE = b"data: [DONE]\n\n"
WHOLE = {
    "id": "chatcmpl-up1",
    "object": "chat.completion",
    "model": "provider-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "service_tier": "gold",
}
ERROR = {"error": {"message": "no such thing", "type": "x", "code": 7, "extra": [1]}}


def sse(*events) -> list[bytes]:
    return [b"data: " + json.dumps(event).encode() + b"\n\n" for event in events]


def chat_chunk(text=None, finish=None, **fields):
    delta = {} if text is None else {"content": text}
    return {
        "id": "chatcmpl-up1",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": "provider-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    } | fields


def usage_chunk(prompt=3, completion=2):
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return chat_chunk() | {"choices": [], "usage": counts}


def stream_of(*texts):
    """Return the pieces of an ordinary streamed answer."""
    chunks = [chat_chunk(text) for text in texts]
    return [*sse(*chunks, chat_chunk(finish="stop"), usage_chunk()), DONE]


def events_of_stream(answer):
    """Return the decoded events of a gateway's streamed answer."""
    blocks = [block for block in answer.text.split("\n\n") if block]
    rows = [block.removeprefix("data: ") for block in blocks]
    return [row if row == "[DONE]" else json.loads(row) for row in rows]


class Answer:
    """One response: a status, headers and pieces of a body.

    A piece is bytes, a number of seconds to wait, ``hang`` (send nothing more, and keep the connection), or ``break`` (close the connection
    in the middle). Without `headers`, the pieces are chunks of a stream.
    """

    def __init__(self, *pieces, status=200, headers=None, head=None):
        self.pieces, self.status, self.head = pieces, status, head
        self.headers = {"content-type": "text/event-stream"} if headers is None else headers

    @classmethod
    def json(cls, body, status=200, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(raw, status=status, headers={"content-type": "application/json"} | given)


class ScriptedUpstream:
    """Returns the next answer of `script` to each request, and the last answer to all further requests."""

    def __init__(self):
        self.script: list[Answer] = []
        self.requests: list[tuple[str, dict, bytes]] = []
        self.connections = 0
        #: Connections that the client closed before the end of a response.
        self.closed_early = 0
        self.open = 0
        self.url = ""

    @property
    def bodies(self):
        return [json.loads(body) for _, _, body in self.requests]

    async def serve(self, reader, writer):
        self.connections += 1
        self.open += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        self.open -= 1
        writer.close()

    async def _one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rows = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows) if name}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.requests.append((line.split()[1], headers, body))
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        gone = asyncio.create_task(reader.read(1))
        sent = asyncio.create_task(self._send(writer, answer))
        await asyncio.wait((gone, sent), return_when=asyncio.FIRST_COMPLETED)
        if not sent.done():
            self.closed_early += 1
            sent.cancel()
            return False
        # This read would lose a byte of the next request, but clients send a request only after the response.
        gone.cancel()
        await asyncio.wait([gone])
        return await sent

    async def _send(self, writer, answer):
        if answer.head is not None:
            writer.write(answer.head)
        else:
            rows = [f"HTTP/1.1 {answer.status} Scripted", *(f"{k}: {v}" for k, v in answer.headers.items())]
            writer.write("\r\n".join([*rows, "transfer-encoding: chunked", "", ""]).encode())
        for piece in answer.pieces:
            await writer.drain()
            if isinstance(piece, int | float):
                await asyncio.sleep(piece)
            elif piece == "hang":
                await asyncio.sleep(3600)
            elif piece == "break":
                return False
            elif answer.head is not None:
                writer.write(piece)
            elif piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if answer.head is None:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return answer.head is None


@asynccontextmanager
async def scripted_upstream(tls=None):
    """Serve until the block ends; with TLS if `tls` is the context of a server."""
    upstream = ScriptedUpstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=2**24, ssl=tls)
    upstream.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield upstream
    finally:
        server.close()
        await server.wait_closed()
