import pytest
from support.bridges import SECRET

from stream.webhook_signature import secret_bytes, sign


def test_the_signature_is_that_of_the_standard_webhooks_test_vector():
    # from the "sign" test of the libraries in standard-webhooks/libraries
    headers = sign(secret_bytes(SECRET), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize("secret", ["", "whsec_", SECRET.removeprefix("whsec_"), "whsec_c2hvcnQ=", "whsec_!!!"])
def test_a_bad_secret_is_rejected_and_not_shown(secret):
    with pytest.raises(ValueError, match="24 to 64 bytes") as raised:
        secret_bytes(secret)
    assert "MfKQ9r8" not in str(raised.value)
