import pytest

from serving.upstream.circuit_breaker import CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def opened(clock):
    """A circuit that has just opened for 5 s."""
    circuit = CircuitBreaker(failures=3, open_seconds=5, clock=clock)
    for _ in range(3):
        assert circuit.seconds_to_wait() == 0
        circuit.failed()
    return circuit


@pytest.fixture
def probed(opened, clock):
    """A circuit whose probe was sent and has no answer."""
    clock.now += 5
    assert opened.seconds_to_wait() == 0
    return opened


def test_only_consecutive_failures_open_the_circuit():
    circuit = CircuitBreaker(failures=3)
    for _ in range(5):
        circuit.failed()
        circuit.failed()
        circuit.succeeded()
    assert not circuit.is_open
    assert circuit.seconds_to_wait() == 0


def test_timeouts_do_not_count_if_another_response_was_complete_while_the_requests_waited(clock):
    circuit = CircuitBreaker(failures=3, clock=clock)
    circuit.succeeded()
    clock.now += 9
    for _ in range(3):
        circuit.failed(waited=10)
    assert not circuit.is_open
    clock.now += 1
    for _ in range(3):
        assert not circuit.is_open
        circuit.answered()
        circuit.failed(waited=10)
    assert circuit.is_open


def test_the_start_of_a_probes_response_closes_the_circuit_until_the_next_failure(probed):
    probed.answered()
    assert not probed.is_open
    probed.failed()
    assert probed.is_open


def test_one_probe_is_sent_and_its_success_closes_the_circuit(opened, clock):
    clock.now += 5
    assert [opened.seconds_to_wait() for _ in range(3)] == [0, 5, 5]
    assert opened.is_open
    opened.succeeded()
    assert not opened.is_open
    opened.failed()
    assert opened.seconds_to_wait() == 0


def test_a_probe_that_fails_opens_the_circuit_again(probed, clock):
    probed.failed()
    assert probed.seconds_to_wait() == 5
    clock.now += 5
    assert probed.seconds_to_wait() == 0


def test_a_probe_whose_client_disconnected_is_replaced(probed):
    probed.abandoned(probe=True)
    assert probed.is_open
    assert probed.seconds_to_wait() == 0


def test_the_end_of_an_older_request_does_not_end_the_probe(probed, clock):
    probed.abandoned()
    assert probed.seconds_to_wait() == 5
    probed.failed()
    clock.now += 4
    assert probed.seconds_to_wait() == 1
    probed.succeeded()
    assert probed.seconds_to_wait() == 0


def test_while_a_probe_has_no_answer_another_one_is_sent_every_five_seconds(opened, clock):
    clock.now += 5
    waits = []
    for _ in range(5):
        waits.append(opened.seconds_to_wait())
        clock.now += 2
    assert waits == [0, 3, 1, 0, 3]


def test_an_older_probe_that_fails_or_ends_opens_no_closed_circuit(probed, clock):
    clock.now += 5
    assert probed.seconds_to_wait() == 0
    probed.succeeded()
    probed.abandoned(probe=True)
    probed.failed()
    assert not probed.is_open
