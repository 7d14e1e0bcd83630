"""A double of the class that reads a topic."""

from types import SimpleNamespace

from stream.kafka.tail import Tail


def tail_of(*records, following=None):
    """Return a class that replaces :class:`stream.kafka.tail.Tail` and whose topic contains the encoded `records`.

    Unless its user reads to the end of the topic, the records of the queue `following` replace them.
    """

    class Double(Tail):
        def __init__(self, *_arguments, follow=True, **_options):
            self._follow = follow

        async def records(self):
            if self._follow and following is not None:
                while True:
                    yield _read(await following.get())
            for one in records:
                yield _read(one)

    return Double


def _read(one):
    return SimpleNamespace(key=one.key, value=one.value, headers=one.headers, partition=0)
