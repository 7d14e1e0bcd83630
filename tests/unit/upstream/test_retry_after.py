"""The time after which a client may send a request again to another server."""

import httpx
import pytest

from serving.upstream.failures import circuit_open, error_response, retry_after

NOW = 1_764_547_200.0  # Mon, 01 Dec 2025 00:00:00 GMT


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.4"}, 0.4),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "inf"}, 86_400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Mon, 01 Dec 2025 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 01 Dec 2025 00:00:30"}, 30.0),
        ({"retry-after": "Sun, 30 Nov 2025 23:59:30 GMT"}, 0.0),
        ({"retry-after": "Mon, 01 Dec 2025 00:00:99999999999999999999 GMT"}, None),
        # The clock of the server is an hour ahead, or an hour behind.
        ({"retry-after": "Mon, 01 Dec 2025 01:00:30 GMT", "date": "Mon, 01 Dec 2025 01:00:00 GMT"}, 30.0),
        ({"retry-after": "Sun, 30 Nov 2025 23:00:30 GMT", "date": "Sun, 30 Nov 2025 23:00:00 GMT"}, 30.0),
        ({"retry-after": "Mon, 01 Dec 2025 00:00:30 GMT", "date": "no date"}, 30.0),
    ],
)
def test_a_date_in_retry_after_is_by_the_clock_of_the_server(headers, seconds):
    assert retry_after(httpx.Response(503, headers=headers), lambda: NOW) == seconds


@pytest.mark.parametrize(("seconds", "shown"), [(0.2, 1), (1.0, 1), (2.4, 3), (4.9, 5)])
def test_a_client_is_never_told_to_retry_too_early(seconds, shown):
    rejected = circuit_open(seconds).rejected
    assert rejected.retry_after_seconds == shown
    assert f"in {shown} s" in rejected.message
    assert error_response(503, None, seconds).rejected.retry_after_seconds == shown
    assert error_response(503, None, 0.0).rejected.retry_after_seconds == 0
