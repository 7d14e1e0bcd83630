"""A double of the class that reads a topic."""

from types import SimpleNamespace


def tail_of(*records, following=None):
    """Return a class that replaces :class:`stream.kafka.tail.Tail` and whose topic contains the encoded `records`.

    Unless its user reads to the end of the topic, the records of the queue `following` replace them.
    """

    class Tail:
        def __init__(self, *_arguments, follow=True, **_options):
            self._follow = follow

        async def records(self):
            if self._follow and following is not None:
                while True:
                    yield _read(await following.get())
            for one in records:
                yield _read(one)

    return Tail


def _read(one):
    return SimpleNamespace(value=one.value, headers=one.headers, partition=0)
