"""What `rollcall fleet` makes of the numbers."""

import json
from collections import Counter
from pathlib import Path

from rollcall.fleet_figures import (
    Finding,
    Moment,
    Usage,
    cost,
    failures,
    memory,
    percentiles,
    share,
    table,
    times,
    write,
)
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


def test_findings_for_people_and_for_programs(tmp_path: Path) -> None:
    empty, full = Moment(0, 0, Usage(1, 1_000), NOTHING), Moment(60, 100, Usage(2, 2_000), Usage(3, 500))
    findings = [
        times("push", "pushed", [2.0, 1.0]),
        cost("cpu", "processor", empty, full),
        memory("memory", "memory", empty.hubs, full),
        Finding("storm", "all back", "1.0 s", {"s": 1.0}),
    ]
    write(tmp_path, findings, [empty, full])
    assert (tmp_path / "fleet.md").read_text() == table(findings) + "\n"
    assert table(findings).splitlines()[2:] == [
        "| pushed | p50 2.0 ms, p99 2.0 ms |",
        "| processor | 10.00 ms, 30.00 ms |",
        "| memory | 20.0 KiB (10.0 more than when empty), 5.0 KiB |",
        "| all back | 1.0 s |",
    ]
    said = json.loads((tmp_path / "fleet.json").read_text())
    assert said["findings"]["memory"] == {"hubs": 20.0, "fleet": 5.0, "hubs_added": 10.0}
    assert said["findings"]["push"] == {"p50_ms": 2.0, "p99_ms": 2.0, "samples": 2}
    assert [moment["online"] for moment in said["course"]] == [0, 100]
    assert "<svg" in (tmp_path / "fleet.svg").read_text()
