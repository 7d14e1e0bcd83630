"""Digests that connect the turns of a chat without a conversation id: each turn repeats the messages of the earlier requests.

Each digest is keyed with the client's API key, so a guessed text cannot be compared with a digest without this key.
It can be compared with the embedding in a signal.
"""

from collections import deque
from collections.abc import Sequence
from hashlib import blake2b, sha256

import msgspec

from stream.wire import ADDED, Message

#: Roles of messages that the operator of the model wrote.
OPERATOR_ROLES = frozenset({"system", "developer"})
_ENCODER = msgspec.msgpack.Encoder()
#: Size of a digest; and most earlier requests of a chat that have one, because a turn can be in another stream or be lost.
_BYTES = 4
_EARLIER = 8


def turns_of(messages: Sequence[Message], secret: str) -> tuple[str, ...]:
    """Return the digest of a request's messages, and of the earlier requests that the messages contain, newest first.

    An earlier request ends before an answer, which can be several messages in a row. The operator's messages are left out,
    because they often contain the time, and so are texts beside the messages, which move to the last message of each request.
    An answer that the request begins (its last messages) is left out, too.
    """
    digest = blake2b(key=sha256(secret.encode("utf-8", "replace")).digest(), digest_size=_BYTES)
    requests: deque[str] = deque(maxlen=1 + _EARLIER)
    role = "assistant"
    for message in messages:
        if message.role in OPERATOR_ROLES or message.name == ADDED:
            continue
        if message.role == "assistant" != role:
            requests.appendleft(digest.hexdigest())
        digest.update(_ENCODER.encode(message))
        role = message.role
    if role != "assistant":
        requests.appendleft(digest.hexdigest())
    return tuple(requests)
