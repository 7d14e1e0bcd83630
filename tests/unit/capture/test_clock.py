from serving.capture.clock import SourceClock


class Hands:
    """A wall clock and a monotonic clock that a test sets; only the wall clock may step."""

    def __init__(self) -> None:
        self.wall = 1_000_000.0
        self.monotonic = 50.0

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds

    def clock(self, floor: int = 0) -> SourceClock:
        return SourceClock(floor, wall=lambda: self.wall, monotonic=lambda: self.monotonic)


def test_times_are_those_of_the_wall_clock_in_whole_microseconds():
    hands = Hands()
    clock = hands.clock()
    assert clock.now() == 1_000_000_000_000
    hands.pass_(0.25)
    assert clock.now() == 1_000_000_250_000


def test_after_a_step_back_times_advance_at_half_speed_until_they_equal_the_wall_clock():
    hands = Hands()
    clock = hands.clock()
    times = [clock.now()]
    hands.wall -= 3600
    for _ in range(2 * 3600 + 1):
        hands.pass_(1)
        times.append(clock.now())
    assert times == sorted(times)
    assert times[100] - times[0] == 50 * 1_000_000
    assert times[-1] == round(hands.wall * 1e6)


def test_a_step_forward_is_followed_and_after_the_step_back_times_never_decrease():
    hands = Hands()
    clock = hands.clock()
    hands.wall += 3600
    far = clock.now()
    hands.wall -= 3600
    hands.pass_(10)
    assert clock.now() == far + 5_000_000


def test_the_clock_of_an_adopter_starts_at_the_last_time_of_the_spool():
    assert Hands().clock(floor=2_000_000_000_000).now() >= 2_000_000_000_000
