"""A terminal's punch numbers as ranges."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shared import ranges

SETS = st.sets(st.integers(1, 60))


@given(SETS, SETS)
def test_joined_ranges_are_the_union(one: set[int], two: set[int]) -> None:
    whole = ranges.joined([*ranges.of(one), *ranges.of(two)])
    assert [n for first, last in whole for n in range(first, last + 1)] == sorted(one | two)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(whole))


@given(SETS, st.integers(0, 70))
def test_gaps_are_the_rest(heard: set[int], last: int) -> None:
    gaps = [n for first, end in ranges.gaps(ranges.of(heard), last) for n in range(first, end + 1)]
    assert gaps == [n for n in range(1, max(last, *heard, 0) + 1) if n not in heard]


@given(SETS)
def test_what_is_written_is_read(heard: set[int]) -> None:
    assert ranges.read(ranges.written(ranges.of(heard))) == ranges.of(heard)


def test_of_too_many_ranges_the_lowest_stay() -> None:
    scattered = ranges.of(range(1, 1_000, 2))
    assert ranges.read(ranges.written(scattered)) == scattered[: ranges.MOST]
