"""Sets of a terminal's punch numbers as ranges, which are few because a terminal counts and tells in order. Pure."""

from collections.abc import Iterable
from typing import Final

from shared.contracts.offline import Ranges

MOST: Final = 64
"""ranges that are remembered of one terminal, 2 KB as text"""


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same numbers in as few ranges as can be, in order."""
    whole: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if whole and first <= whole[-1][1] + 1:
            whole[-1] = (whole[-1][0], max(whole[-1][1], last))
        else:
            whole.append((first, last))
    return tuple(whole)


def of(numbers: Iterable[int]) -> Ranges:
    """These numbers."""
    return joined((number, number) for number in numbers)


def gaps(ranges: Ranges, last: int) -> Ranges:
    """Which numbers from 1 to `last`, or to the end of the ranges, are in none; `ranges` as `joined` gives them."""
    ends = [0, *(end for _, end in ranges)]
    begins = [*(begin for begin, _ in ranges), max(last, ends[-1]) + 1]
    return tuple((end + 1, begin - 1) for end, begin in zip(ends, begins, strict=True) if end + 1 < begin)


def written(ranges: Ranges) -> str:
    """As text. Of more than MOST ranges the highest are left out: a terminal is asked for those again, later, when the
    gaps below are closed, and nothing is doubled by that."""
    return ",".join(f"{first}-{last}" for first, last in ranges[:MOST])


def read(text: str) -> Ranges:
    """The ranges that were written."""
    pairs = (part.partition("-") for part in text.split(",") if part)
    return tuple((int(first), int(last)) for first, _, last in pairs)
