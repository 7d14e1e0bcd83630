"""A cache of the results of recent texts."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

#: Maximum number of results.
RESULTS = 4096
InputT = TypeVar("InputT")
ResultT = TypeVar("ResultT")


class Recent(Generic[InputT, ResultT]):
    """The last `RESULTS` results, by digest of the input: a text, or a tuple of texts and numbers. It stores no text."""

    def __init__(self) -> None:
        self._results: OrderedDict[bytes, ResultT] = OrderedDict()

    def of(self, inputs: Sequence[InputT], compute: Callable[[list[InputT]], Sequence[ResultT]]) -> list[ResultT]:
        """Return the result of each input; `compute` computes those of the inputs that are not recent, each once."""
        keys = [hashlib.blake2b(repr(one).encode(), digest_size=16).digest() for one in inputs]
        found = {key: self._results[key] for key in keys if key in self._results}
        new = {key: one for key, one in zip(keys, inputs, strict=True) if key not in found}
        found |= dict(zip(new, compute(list(new.values())) if new else (), strict=True))
        for key in keys:
            self._results[key] = found[key]
            self._results.move_to_end(key)
        while len(self._results) > RESULTS:
            self._results.popitem(last=False)
        return [found[key] for key in keys]
