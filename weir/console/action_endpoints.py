"""Endpoints that change state or read texts: silences, reviews, approvals, prompt and answer, explanations, cluster terms.

Commands of ``weir`` do most of these tasks. Each access to a text, each review, each change of a silence and each attempt to approve or
reject retraining is logged with the user of this process.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stream.ledger.queries.console_queries import LedgerPages
from weir.client import effective_kafka
from weir.console.json_http import body_of, json_response
from weir.console.query_endpoints import MapParameters, alert_story
from weir.console.weir_process import output_of
from weir.errors import NotFoundError, StackError
from weir.home.access_log import log_access, user_name
from weir.operate.cluster_terms import DRIFT, cluster_terms
from weir.operate.embedding_map import cluster_texts, embedding_map
from weir.operate.request_story import read_story
from weir.operate.request_text import read_text
from weir.operate.retraining_decisions import Decider, decide
from weir.operate.reviews import correction_of, publish_review, review_of
from weir.operate.silences import silence, unsilence
from weir.settings import Settings


class _Silence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alert_id: str
    duration: Annotated[str, msgspec.Meta(max_length=20)] = msgspec.field(name="for")
    reason: str


class _Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alert_id: str
    label: Literal["right", "wrong"]
    request_id: str = ""


class _AnswerReview(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    correction: str = ""
    comment: str = ""
    approved: bool = False


class _Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    outcome: Literal["approved", "rejected"]
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    reason: str = ""


class ActionEndpoints:
    """Handlers of the requests that change state or read texts."""

    def __init__(self, settings: Settings, pages: LedgerPages) -> None:
        self._settings = settings
        self._pages = pages
        self._explaining = asyncio.Lock()
        self._describing = asyncio.Lock()

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/api/silences", self.silence, methods=["POST"]),
            Route("/api/silences/{name}", self.unsilence, methods=["DELETE"]),
            Route("/api/feedback", self.feedback, methods=["POST"]),
            Route("/api/alerts/{alert_id}/terms", self.terms, methods=["POST"]),
            Route("/api/drift/map/clusters", self.clusters, methods=["POST"]),
            Route("/api/requests/{request_id}/text", self.text, methods=["POST"]),
            Route("/api/requests/{request_id}/review", self.review, methods=["POST"]),
            Route("/api/retraining/{retraining_id}/decision", self.decide, methods=["POST"]),
            Route("/api/requests/{request_id}/explain", self.explain, methods=["POST"]),
        ]

    async def silence(self, request: Request) -> Response:
        """Silence an alert, as ``weir alerts silence`` does."""
        body = await body_of(request, _Silence)
        self._log_access(request, "console silence", alert_id=body.alert_id, duration=body.duration)
        made, resolved = await silence(
            effective_kafka(self._settings),
            body.alert_id,
            duration=body.duration,
            reason=body.reason,
            by=user_name(),
            parameter='"for"',
        )
        return json_response({"silence": msgspec.structs.asdict(made), "resolved": resolved}, 201)

    async def unsilence(self, request: Request) -> Response:
        """End a silence by its id or the id of an alert that it covers."""
        name = request.path_params["name"]
        self._log_access(request, "console unsilence", silenced=name)
        ended = await unsilence(effective_kafka(self._settings), name, by=user_name())
        return json_response({"ended": [msgspec.structs.asdict(one) for one in ended]})

    async def feedback(self, request: Request) -> Response:
        """Publish a review of an alert; respond with 202 after the broker's acknowledgement."""
        body = await body_of(request, _Review)
        story = await alert_story(self._pages, body.alert_id)
        review = review_of(story.alert, body.label, body.request_id, f"console:{user_name()}")
        self._log_access(request, "console review", alert_id=body.alert_id, request_id=review.request_id)
        await publish_review(effective_kafka(self._settings), self._pages, review)
        return json_response({"object": "feedback", "request_id": review.request_id, "accepted": True}, 202)

    async def review(self, request: Request) -> Response:
        """Publish a reviewer's judgment of an answer: approved, or a better answer; respond after the acknowledgement."""
        body = await body_of(request, _AnswerReview)
        request_id = request.path_params["request_id"]
        story = await asyncio.to_thread(read_story, self._settings.home, request_id)
        correction = correction_of(
            story, answer=body.correction, comment=body.comment, approved=body.approved, by=f"console:{user_name()}"
        )
        self._log_access(request, "console review", request_id=request_id)
        await publish_review(effective_kafka(self._settings), self._pages, correction)
        return json_response({"object": "review", "request_id": request_id, "accepted": True}, 202)

    async def decide(self, request: Request) -> Response:
        """Approve or reject a retraining request, as ``weir retraining approve`` does, with the key in the body."""
        body = await body_of(request, _Decision)
        settings, retraining_id = self._settings, request.path_params["retraining_id"]
        decider = Decider(home=settings.home, key=body.key, command="console retraining", tenants=settings.tenants)
        record = await decide(effective_kafka(settings), retraining_id, body.outcome, decider, body.reason)
        return json_response(record, 201)

    async def terms(self, request: Request) -> Response:
        """Compute and return the terms that are typical of a drift alert's evidence texts."""
        story = await alert_story(self._pages, request.path_params["alert_id"])
        if story.alert.detector != DRIFT:
            raise NotFoundError(f"alert {story.alert.alert_id} is not a drift alert, so it has no cluster to describe")

        def logged(request_id: str) -> None:
            self._log_access(request, "console terms", request_id=request_id, alert_id=story.alert.alert_id)

        return json_response(await cluster_terms(effective_kafka(self._settings), self._pages, story, logged))

    async def clusters(self, request: Request) -> Response:
        """Return the terms and two example texts of each cluster of a stream's map."""
        query = (await body_of(request, MapParameters)).query()
        kafka = effective_kafka(self._settings)

        def logged(request_id: str) -> None:
            self._log_access(request, "console clusters", request_id=request_id)

        async with self._describing:  # as in QueryEndpoints.map
            found = await embedding_map(kafka, self._pages, self._settings.tenants, query)
            return json_response({"clusters": await cluster_texts(kafka, self._pages, found, query, logged)})

    async def text(self, request: Request) -> Response:
        """Return the prompt and the answer of one request."""
        request_id = request.path_params["request_id"]
        story = await asyncio.to_thread(read_story, self._settings.home, request_id)
        log = self._log_access(request, "console text", request_id=request_id)
        text = await read_text(effective_kafka(self._settings).client_options(), story)
        return json_response({"text": text, "logged": str(log)})

    async def explain(self, request: Request) -> Response:
        """Return the text of a flagged request and the weights of its words, as ``weir explain`` computes them."""
        request_id = request.path_params["request_id"]
        # Only a known id becomes an argument of the command: another value could be an option.
        await asyncio.to_thread(read_story, self._settings.home, request_id)
        if self._explaining.locked():
            raise StackError("another explanation is being computed; try again when it is done")
        async with self._explaining:
            self._log_access(request, "console explain", request_id=request_id)
            return json_response(
                {"explanations": msgspec.Raw(await output_of("explain", "--json", "--text", request_id))}
            )

    def _log_access(self, request: Request, command: str, **what: str) -> Path:
        return log_access(self._settings.home, command, session=str(request.scope["state"]["session"]), **what)
