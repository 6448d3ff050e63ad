"""How long a terminal waits before it tries again."""

from random import Random
from statistics import mean

from terminal.backoff import FIRST_S, LONGEST_S, Backoff


def test_waits_grow_to_a_ceiling_and_never_beyond_it() -> None:
    backoff = Backoff(Random(1))
    waits = [backoff.again() for _ in range(2_000)]
    assert waits[0] <= FIRST_S
    assert max(waits) <= LONGEST_S
    assert max(waits[10:]) > LONGEST_S * 0.9


def test_two_terminals_do_not_wait_alike() -> None:
    first, second = Backoff(Random(1)), Backoff(Random(2))
    assert [first.again() for _ in range(5)] != [second.again() for _ in range(5)]


def test_the_jitter_is_full() -> None:
    """Ten thousand terminals that lose their hub together come back spread over the whole first wait."""
    waits = [Backoff(Random(seed)).again() for seed in range(10_000)]
    assert abs(mean(waits) - FIRST_S / 2) < FIRST_S / 50
    assert min(waits) < FIRST_S / 100


def test_after_success_it_begins_anew() -> None:
    backoff = Backoff(Random(1))
    for _ in range(20):
        backoff.again()
    backoff.worked()
    assert backoff.again() <= FIRST_S


def test_patience_is_at_least_half_the_longest_wait() -> None:
    waits = [Backoff(Random(seed)).patient() for seed in range(1_000)]
    assert min(waits) >= LONGEST_S / 2
    assert max(waits) <= LONGEST_S
