"""What `rollcall top` makes of two scrapes."""

import math

import pytest

from rollcall.numbers import Numbers, Process, Scrape, quantile


def scrape(at: float, *lines: str) -> Scrape:
    return Scrape.parse("\n".join(lines) + "\n", at)


def test_counters_become_rates_and_one_that_began_anew_counts_from_zero() -> None:
    steady = Process("a", scrape(10, 'x_total{k="u"} 4'), scrape(12, 'x_total{k="u"} 10', 'x_total{k="v"} 1'))
    renewed = Process("b", scrape(10, 'x_total{k="u"} 100'), scrape(12, 'x_total{k="u"} 2'))
    numbers = Numbers([steady, renewed])
    assert numbers.rate("x_total") == pytest.approx(3 + 0.5 + 1)
    assert numbers.rates_by("x_total", "k") == pytest.approx({"u": 4.0, "v": 0.5})


def test_who_does_not_answer_counts_nothing_and_who_just_came_only_what_it_has() -> None:
    away = Process("a", scrape(0, "x_total 4", "y 1"), None)
    came = Process("b", None, scrape(2, "x_total 4", "y 3", "z NaN"))
    numbers = Numbers([away, came])
    assert (numbers.rate("x_total"), numbers.values("y"), numbers.values("z")) == (0, [3], [])
    assert (away.up, came.up) == (False, True)


def test_what_is_not_ready_is_named() -> None:
    process = Process("a", None, scrape(0, 'rollcall_ready{check="broker"} 1', 'rollcall_ready{check="database"} 0'))
    assert process.not_ready() == ["database"]


def test_times_are_those_of_the_interval() -> None:
    lines = ('t_bucket{le="0.1"} %d', 't_bucket{le="0.2"} %d', 't_bucket{le="+Inf"} %d')
    before = scrape(0, *(line % count for line, count in zip(lines, (50, 50, 50), strict=True)))
    after = scrape(1, *(line % count for line, count in zip(lines, (50, 60, 60), strict=True)))
    spread = Numbers([Process("a", before, after)]).spread("t")
    assert (spread.p50, spread.p95) == (pytest.approx(0.15), pytest.approx(0.195))
    assert Numbers([Process("a", before, before)]).spread("t").p50 is None


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ({1.0: 4, math.inf: 4}, 0.5, 0.5),
        ({1.0: 2, 2.0: 4, math.inf: 4}, 0.75, 1.5),
        ({1.0: 0, math.inf: 4}, 0.5, 1.0),
        ({1.0: 0, math.inf: 0}, 0.5, None),
        ({}, 0.5, None),
    ],
)
def test_a_quantile_lies_evenly_in_its_bucket(counts: dict[float, float], share: float, expected: float | None) -> None:
    assert quantile(counts, share) == expected
