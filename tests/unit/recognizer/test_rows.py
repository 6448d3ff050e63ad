"""Row numbers: like a dict from id to row, in a few bytes."""

import numpy as np
import pytest

from recognizer.rows import NOWHERE, PAGE, Rows


@pytest.mark.parametrize("seed", range(5))
def test_rows_behave_like_a_dict(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, truth = Rows(), {}
    for step in range(2_000):
        number = int(rng.choice([rng.integers(3 * PAGE), 10**12 + rng.integers(50)]))
        if step % 500 == 499:
            gone = [n for n in truth if rng.random() < 0.7]
            rows.free_all(np.array([truth.pop(n) for n in gone], np.int32))
        elif number in truth:
            rows.free(truth.pop(number))
        else:
            truth[number] = rows.take(number)
        assert len(rows) == len(truth)
    assert len(set(truth.values())) == len(truth)
    assert {n: rows.find(n) for n in truth} == truth
    assert {row: rows.ids[row] for row in truth.values()} == {row: n for n, row in truth.items()}
    assert all(rows.find(n) == NOWHERE for n in range(3 * PAGE) if n not in truth)


def test_rows_are_used_again() -> None:
    rows = Rows()
    for number in range(10_000):
        rows.free(rows.take(number))
    assert len(rows.ids) == 1


def test_nothing_is_freed_of_nothing() -> None:
    rows = Rows()
    rows.free_all(np.empty(0, np.int32))
    assert len(rows) == 0
