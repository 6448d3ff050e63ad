"""Rates, waits and the circuit breaker, on a clock of the test's own."""

import pytest

from shared.baidu.limits import Breaker, State, TokenBucket, backoff_s


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_bucket_spaces_calls_evenly_and_gives_no_burst_after_a_pause(clock: Clock) -> None:
    bucket = TokenBucket(2.0, clock)
    assert [bucket.take(10) for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]
    clock.now += 60
    assert [bucket.take(10) for _ in range(3)] == [0.0, 0.5, 1.0]


def test_who_cannot_wait_takes_nothing(clock: Clock) -> None:
    bucket = TokenBucket(2.0, clock)
    bucket.take(0)
    assert bucket.wait_s() == 0.5
    assert bucket.take(0.4) is None
    assert bucket.take(0.5) == 0.5
    clock.now += 1.0
    assert bucket.take(0) == 0.0


def test_no_second_holds_more_calls_than_the_rate(clock: Clock) -> None:
    bucket, moments = TokenBucket(3.0, clock), []
    for step in (0.0, 0.1, 0.0, 2.0, 0.0, 0.3, 0.0, 0.0, 0.0, 1.0, 0.0):
        clock.now += step
        wait = bucket.take(100)
        assert wait is not None
        moments.append(clock.now + wait)
    for start in moments:
        assert sum(start <= moment < start + 1 - 1e-9 for moment in moments) <= 3


@pytest.mark.parametrize(("attempt", "whole"), [(0, 0.5), (1, 1.0), (2, 2.0), (3, 3.0), (1000, 3.0)])
def test_waits_double_up_to_a_bound_and_differ(attempt: int, whole: float) -> None:
    assert backoff_s(attempt, first=0.5, longest=3, chance=lambda: 1.0) == whole
    assert backoff_s(attempt, first=0.5, longest=3, chance=lambda: 0.0) == whole / 2


def test_the_breaker_opens_after_failures_in_a_row_only(clock: Clock) -> None:
    breaker = Breaker(3, 10, clock)
    for outcome in ("failed", "failed", "succeeded", "failed", "failed"):
        assert breaker.enter()
        getattr(breaker, outcome)()
    assert breaker.state is State.CLOSED
    assert breaker.enter()
    breaker.failed()
    assert breaker.state is State.OPEN
    assert not breaker.enter()


def test_one_probe_decides_for_all(clock: Clock) -> None:
    breaker = Breaker(1, 10, clock)
    assert breaker.enter()
    breaker.failed()
    clock.now += 10
    assert breaker.state is State.HALF_OPEN
    assert breaker.enter()
    assert not breaker.enter(), "only one at a time"
    breaker.failed()
    assert breaker.state is State.OPEN
    clock.now += 10
    assert breaker.enter()
    breaker.succeeded()
    assert breaker.state is State.CLOSED
    assert breaker.enter()
    assert breaker.enter()


def test_a_probe_that_was_given_up_lets_the_next_one_try(clock: Clock) -> None:
    breaker = Breaker(1, 10, clock)
    breaker.enter()
    breaker.failed()
    clock.now += 10
    assert breaker.enter()
    breaker.left()
    assert breaker.enter()
