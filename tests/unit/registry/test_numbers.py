"""A terminal's punch numbers as ranges."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from registry import numbers

SETS = st.sets(st.integers(1, 60))


@given(SETS, SETS)
def test_joined_ranges_are_the_union(one: set[int], two: set[int]) -> None:
    ranges = numbers.joined([*numbers.of(one), *numbers.of(two)])
    assert [n for first, last in ranges for n in range(first, last + 1)] == sorted(one | two)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(ranges))


@given(SETS, st.integers(0, 70))
def test_gaps_are_the_rest(heard: set[int], last: int) -> None:
    gaps = [n for first, end in numbers.gaps(numbers.of(heard), last) for n in range(first, end + 1)]
    assert gaps == [n for n in range(1, max(last, *heard, 0) + 1) if n not in heard]


@given(SETS)
def test_what_is_written_is_read(heard: set[int]) -> None:
    assert numbers.read(numbers.written(numbers.of(heard))) == numbers.of(heard)


def test_of_too_many_ranges_the_lowest_stay() -> None:
    scattered = numbers.of(range(1, 1_000, 2))
    assert numbers.read(numbers.written(scattered)) == scattered[: numbers.MOST]
