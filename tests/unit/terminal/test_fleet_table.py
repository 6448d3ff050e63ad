"""What `rollcall fleet` makes of the numbers."""

from collections import Counter

from rollcall.fleet_figures import Moment, Usage, failures, percentiles, share
from shared.evaluation.plots import Curve, lines

NOTHING = Usage(0, 0)


def test_percentiles() -> None:
    assert percentiles([float(n) for n in range(100, 0, -1)]) == "p50 51.0 ms, p99 100.0 ms"
    assert percentiles([2.0]) == "p50 2.0 ms, p99 2.0 ms"
    assert percentiles([]) == "–"


def test_failures_most_frequent_first() -> None:
    assert failures(Counter({"closed": 2, "HTTP 503": 1_000})) == "HTTP 503: 1,000, closed: 2"
    assert failures(Counter()) == "none"


def test_share_of_a_core() -> None:
    first, last = Moment(10, 5, Usage(2, 0), NOTHING), Moment(20, 5, Usage(3, 0), NOTHING)
    assert (share(first, last, "hubs"), share(first, last, "fleet")) == (0.1, 0)


def test_lines_end_at_the_right_and_near_the_top() -> None:
    svg = lines("t", "seconds", "n", [Curve("a", [0, 100], [0, 65_536]), Curve("b", [0, 50], [0, 0])])
    first, second = [line for line in svg.splitlines() if line.startswith("<polyline")]
    assert 'points="70.0,360.0 620.0,' in first and 'points="70.0,360.0 345.0,360.0"' in second
    assert ">65,536<" in svg and ">100<" in svg


def test_lines_without_points() -> None:
    assert "<polyline" in lines("t", "x", "y", [Curve("a", [], [])])
