import random

import pytest

from serving.engine.batching_loop import Request
from serving.engine.protocol import Sampling
from serving.engine.tokenizer import DirectoryCodec
from tests.support.tiny_llama import greedy

_TOKENS = 24


def _prompt(seed: int, size: int) -> list[int]:
    return [random.Random(seed).randrange(256) for _ in range(size)]


class _Driver:
    """Steps a loop and gathers what each request gets."""

    def __init__(self, loop):
        self.loop, self.text, self.last = loop, {}, {}

    def add(self, prompt, **changes):
        request = Request(prompt, Sampling(**{"max_tokens": _TOKENS, "temperature": 0.0, **changes}))
        self.text[request] = ""
        self.loop.add(request)
        return request

    def step(self, times=1):
        for _ in range(times):
            for request, chunk in self.loop.step():
                assert request not in self.last or self.last[request].finish_reason is None
                self.text[request] += chunk.text
                self.last[request] = chunk

    def finish(self):
        while not self.loop.idle:
            self.step()


@pytest.fixture
def expected(tiny_dir, tiny_reference):
    codec = DirectoryCodec(tiny_dir)

    def say(prompt, tokens=_TOKENS):
        said = greedy(tiny_reference, prompt, tokens)
        return codec.decode(said).removesuffix("\ufffd"), len(said)

    return say


def _check(driver, request, expected):
    text, said = expected(list(request.prompt), request.sampling.max_tokens)
    assert driver.text[request] == text
    last = driver.last[request]
    assert (last.prompt_tokens, last.completion_tokens) == (len(request.prompt), said)
    assert last.finish_reason == ("length" if said == request.sampling.max_tokens else "stop")


@pytest.mark.parametrize("together", [False, True])
def test_greedy_equals_generate_alone_and_batched(make_loop, expected, together):
    driver = _Driver(make_loop(4))
    requests = []
    for seed, size in enumerate((1, 5, 63, 64, 65, 130, 200, 17)):
        requests.append(driver.add(_prompt(seed, size)))
        if not together:
            driver.finish()
    driver.finish()
    for request in requests:
        _check(driver, request, expected)
    assert driver.loop.totals.completion_tokens == sum(driver.last[r].completion_tokens for r in requests)
    assert driver.loop.totals.prompt_tokens == sum(len(r.prompt) for r in requests)


@pytest.mark.parametrize("seed", range(4))
def test_staggered_requests_joins_and_cancels_change_nobodys_answer(make_loop, expected, seed):
    rng, driver = random.Random(seed), _Driver(make_loop(4))
    requests = []
    for number in range(12):
        size = rng.choice([3, 20, 64, 90, 260])
        requests.append(driver.add(_prompt(seed * 100 + number, size), max_tokens=rng.randint(1, 30)))
        driver.step(rng.randrange(6))
        if rng.random() < 0.3:
            rng.choice(requests).cancelled = True
    driver.finish()
    finished = [request for request in requests if not request.cancelled]
    assert 0 < len(finished) < len(requests)
    for request in finished:
        _check(driver, request, expected)


def test_a_long_prompt_comes_in_pieces_while_others_get_their_tokens(make_loop, expected):
    driver = _Driver(make_loop(2))
    short, long = driver.add(_prompt(1, 4), max_tokens=60), driver.add(_prompt(2, 400))
    driver.step()
    while long not in driver.last:
        before, taken = driver.last[short].completion_tokens, driver.loop.totals.prompt_tokens
        driver.step()
        assert driver.loop.totals.prompt_tokens - taken <= 64
        assert driver.last[short].finish_reason or driver.last[short].completion_tokens >= before
    assert driver.last[short].completion_tokens >= 400 // 64 or driver.last[short].finish_reason == "stop"
    driver.finish()
    _check(driver, short, expected)
    _check(driver, long, expected)


def test_a_cancel_while_decoding_frees_the_slot_for_the_next(make_loop, expected):
    driver = _Driver(make_loop(1))
    first, second = driver.add(_prompt(3, 8), max_tokens=400), driver.add(_prompt(4, 8))
    driver.step(4)
    assert (driver.loop.running, driver.loop.waiting) == (1, 1)
    first.cancelled = True
    driver.finish()
    assert driver.last[first].finish_reason is None
    _check(driver, second, expected)


def test_a_cancel_while_its_prompt_comes_in_frees_the_slot(make_loop, expected):
    driver = _Driver(make_loop(2))
    other, long, waiting = driver.add(_prompt(5, 8)), driver.add(_prompt(6, 400)), driver.add(_prompt(7, 80))
    driver.step(2)
    assert long not in driver.last
    long.cancelled = True
    driver.finish()
    assert long not in driver.last
    _check(driver, other, expected)
    _check(driver, waiting, expected)


def test_a_cancelled_request_that_waits_is_never_run(make_loop):
    driver = _Driver(make_loop(1))
    driver.add(_prompt(8, 8), max_tokens=3)
    waiting = driver.add(_prompt(9, 8))
    driver.step()
    waiting.cancelled = True
    driver.finish()
    assert waiting not in driver.last
    assert driver.loop.totals.prompt_tokens == 8


def test_prompts_are_taken_in_first_come_first_served(make_loop):
    driver = _Driver(make_loop(4))
    requests = [driver.add(_prompt(10 + n, 100), max_tokens=2) for n in range(8)]
    driver.finish()
    assert list(driver.last) == requests


def test_abandon_returns_all_and_leaves_a_loop_that_works(make_loop, expected):
    driver = _Driver(make_loop(2))
    lost = [driver.add(_prompt(20 + n, 90), max_tokens=50) for n in range(4)]
    driver.step(3)
    assert set(driver.loop.abandon()) == set(lost)
    assert driver.loop.idle
    after = driver.add(_prompt(30, 70))
    driver.finish()
    _check(driver, after, expected)
