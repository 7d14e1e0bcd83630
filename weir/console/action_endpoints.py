"""What changes something, or shows a text: silences, judgements, one request's prompt and answer, the words that it alerted for.

All of it can be done with the command too; it is logged as the user whose process this is, with the session that asked.
"""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stream.ledger.queries.console_queries import LedgerPages
from weir.client import effective_kafka, parse_duration
from weir.console.json_http import body_of, json_response
from weir.errors import NotFoundError, StackError
from weir.home.access_log import log_access, user_name
from weir.operate.reviews import publish_review, review_of
from weir.operate.request_story import read_story
from weir.operate.request_text import read_text
from weir.operate.silences import silence, unsilence
from weir.settings import Settings

__all__ = ["Writes"]

_EXPLAIN_SECONDS = 180.0


class _Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alert_id: str
    duration: Annotated[str, msgspec.Meta(max_length=20)] = msgspec.field(name="for")
    reason: str


class _Judgement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alert_id: str
    label: Literal["right", "wrong"]
    request_id: str = ""


class Writes:
    """The handlers.

    Parameters
    ----------
    settings
        The stack's.
    pages
        The ledger's files.
    """

    def __init__(self, settings: Settings, pages: LedgerPages) -> None:
        self._settings = settings
        self._pages = pages
        self._explaining = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/api/silences", self.silence, methods=["POST"]),
            Route("/api/silences/{name}", self.unsilence, methods=["DELETE"]),
            Route("/api/feedback", self.feedback, methods=["POST"]),
            Route("/api/requests/{request_id}/text", self.text, methods=["POST"]),
            Route("/api/requests/{request_id}/explain", self.explain, methods=["POST"]),
        ]

    async def silence(self, request: Request) -> Response:
        """Mute what an alert is about, as ``weir alerts silence`` does."""
        asked = await body_of(request, _Silence)
        made, resolved = await silence(
            effective_kafka(self._settings),
            asked.alert_id,
            seconds=parse_duration(asked.duration).total_seconds(),
            reason=asked.reason,
            by=user_name(),
        )
        return json_response({"silence": made, "resolved": resolved}, 201)

    async def unsilence(self, request: Request) -> Response:
        """End a silence; named by its own id or that of an alert that it mutes."""
        ended = await unsilence(effective_kafka(self._settings), request.path_params["name"], by=user_name())
        return json_response({"ended": ended})

    async def feedback(self, request: Request) -> Response:
        """Keep whether an alert was right; 202 once the broker has it."""
        asked = await body_of(request, _Judgement)
        story = await asyncio.to_thread(self._pages.alert, asked.alert_id, 0.0)
        if story is None:
            raise NotFoundError(f"no alert {asked.alert_id!r} in the ledger; it may be of another stack, or on its way")
        review = review_of(story.alert, asked.label, asked.request_id, f"console:{user_name()}")
        await publish_review(effective_kafka(self._settings), self._pages.reader, review)
        return json_response({"object": "feedback", "request_id": review.request_id, "accepted": True}, 202)

    async def text(self, request: Request) -> Response:
        """Answer prompt and answer of one request; who asked is written down first."""
        request_id = request.path_params["request_id"]
        home = self._settings.home
        story = await asyncio.to_thread(read_story, home, request_id)
        log = log_access(home, "console text", request_id=request_id, session=_session(request))
        text = await read_text(effective_kafka(self._settings).client_options(), story)
        return json_response({"text": text, "logged": str(log)})

    async def explain(self, request: Request) -> Response:
        """Answer the words that an alerting request's verdicts rest on, and its text; `weir explain` computes and logs it.

        In a process of its own: models are loaded for it, and the ledger's memory is not for them.
        """
        request_id = request.path_params["request_id"]
        await asyncio.to_thread(
            read_story, self._settings.home, request_id
        )  # an id of ours, and no option of the command
        if self._explaining.locked():
            raise StackError("another explanation is being computed; try again when it is there")
        async with self._explaining:
            log_access(self._settings.home, "console explain", request_id=request_id, session=_session(request))
            return json_response({"explanations": msgspec.Raw(await _explained(request_id))})


def _session(request: Request) -> str:
    return str(request.scope["state"]["session"])


async def _explained(request_id: str) -> bytes:
    command = [str(Path(sys.executable).with_name("weir")), "explain", "--json", "--text", request_id]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _EXPLAIN_SECONDS)
    except TimeoutError:
        raise StackError(
            f"no explanation within {_EXPLAIN_SECONDS:.0f} s, the bound; `weir explain {request_id}` waits longer"
        ) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        last = err.decode(errors="replace").strip().rpartition("\n")[2].removeprefix("weir: ")
        raise NotFoundError(last or f"`weir explain` ended with status {process.returncode}; see the ledger's log")
    return out
