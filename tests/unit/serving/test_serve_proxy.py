"""The middleware of Ray Serve's HTTP proxy, applied by Ray's own functions as its proxy applies it."""

import pytest
from ray.serve._private import http_util
from ray.serve.config import HTTPOptions
from support.manifests import FOLDER, documents

VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"


def named():
    """Return the value of the variable in the manifest of the Ray head."""
    (service,) = (one for one in documents((FOLDER / "base/serving.yaml").read_text()) if one["kind"] == "RayService")
    head = service["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    return next(one["value"] for one in head["env"] if one["name"] == VARIABLE)


@pytest.mark.parametrize("sent", [[], [(b"x-request-id", b"of-the-client"), (b"x-request-timeout-seconds", b"0.01")]])
async def test_a_response_has_the_request_id_of_the_gateway_alone(monkeypatch, sent):
    monkeypatch.setattr(http_util, VARIABLE, named())
    received, responses = [], []

    async def gateway(scope, _receive, send):
        received.extend(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-request-id", b"of-weir")]})

    async def respond(message):
        responses.append(message)

    options = http_util.configure_http_middlewares(HTTPOptions())
    proxy = http_util._apply_middlewares(gateway, options.middlewares)
    await proxy({"type": "http", "headers": [(b"accept", b"*/*"), *sent]}, None, respond)
    assert [value for name, value in responses[0]["headers"] if name == b"x-request-id"] == [b"of-weir"]
    assert (b"accept", b"*/*") in received
    assert b"of-the-client" not in dict(received).values()
    assert b"x-request-timeout-seconds" not in dict(received)
