import pytest

from stream.webhook_signature import secret_bytes, sign


def test_the_vector_of_the_specifications_own_libraries():
    # standard-webhooks/libraries, every language's "sign" test.
    key = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_!!!"])
def test_what_is_no_secret_is_refused(secret):
    with pytest.raises(ValueError, match="is no whsec_ and base64 of 24 to 64 bytes; make one"):
        secret_bytes(secret)


def test_a_refused_secret_is_not_told():
    with pytest.raises(ValueError, match="make one") as raised:
        secret_bytes("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert "MfKQ9r8" not in str(raised.value)
