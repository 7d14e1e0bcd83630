"""A provider with OpenAI's API that answers from a script: chats, streams, tool calls, errors."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "I will call 212-555-0143."
ARGUMENTS = '{"city": "Oslo"}'
_USAGE = {"prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20}
_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": ARGUMENTS}}


class _Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body["model"] == "broken":
            self._json(500, {"error": {"message": "the prompt was quoted here", "type": "server_error"}})
        elif self.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}]
            self._json(200, {"object": "list", "model": body["model"], "data": data, "usage": _USAGE})
        elif self.path.endswith("/responses"):
            self._json(200, _response(body))
        elif body.get("stream"):
            self._stream(_chunks(body))
        else:
            self._json(200, _completion(body))

    def _json(self, status, body):
        self._send(status, "application/json", json.dumps(body).encode())

    def _stream(self, chunks):
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        self._send(200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode())

    def _send(self, status, kind, content):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments):
        pass


def _calls_a_tool(body):
    return bool(body.get("tools")) and body["messages"][-1]["role"] == "user"


def _head(body, kind):
    return {"id": "chatcmpl-1", "object": kind, "created": 1767225600, "model": f"{body['model']}-2026"}


def _completion(body):
    if _calls_a_tool(body):
        message, reason = {"role": "assistant", "content": None, "tool_calls": [_CALL]}, "tool_calls"
    else:
        message, reason = {"role": "assistant", "content": ANSWER}, "stop"
    choices = [{"index": number, "message": message, "finish_reason": reason} for number in range(body.get("n") or 1)]
    return _head(body, "chat.completion") | {"choices": choices, "usage": _USAGE}


def _chunks(body):
    if _calls_a_tool(body):
        function = _CALL["function"]
        deltas = [
            {"role": "assistant", "tool_calls": [{"index": 0, **_CALL, "function": function | {"arguments": ""}}]}
        ]
        deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in ('{"city": ', '"Oslo"}')]
    else:
        deltas = [{"role": "assistant", "content": ""}, *({"content": f"{word} "} for word in ANSWER.split())]
    reason = "tool_calls" if _calls_a_tool(body) else "stop"
    for delta, finish in (*((delta, None) for delta in deltas), ({}, reason)):
        yield _head(body, "chat.completion.chunk") | {
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]
        }
    yield _head(body, "chat.completion.chunk") | {"choices": [], "usage": _USAGE}


def _response(body):
    text = {"type": "output_text", "text": ANSWER, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    usage = {"input_tokens": 14, "output_tokens": 6, "total_tokens": 20}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1767225600,
        "status": "completed",
        "model": f"{body['model']}-2026",
        "output": [message],
        "usage": usage | details,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


@contextmanager
def stub_provider():
    """Serve until the block ends; yield the base URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Provider) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
