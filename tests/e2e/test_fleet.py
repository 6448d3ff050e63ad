"""`rollcall fleet` against a whole system with two hubs, both killed under it."""

from pathlib import Path

import pytest

from rollcall.fleet import FleetOptions, fleet, hub_pids
from rollcall.office import bus_of
from shared.contracts.devices import ListDevices
from tests.systems import a_system


async def test_a_fleet_comes_back_after_every_hub_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_system(tmp_path / "data", hubs=2) as system:
        before = hub_pids(system.running)
        assert len(before) == 2
        options = FleetOptions(200, seconds=1, processes=2, pushes=30, storm=True, out=tmp_path / "out")
        await fleet(tmp_path / "data", options)
        assert not set(before) & set(hub_pids(system.running))
        async with bus_of(tmp_path / "data") as bus:
            assert (await bus.ask(ListDevices())).total == 0
    table = (tmp_path / "out" / "fleet.md").read_text()
    rows = dict(row.strip("| ").split(" | ", 1) for row in table.splitlines()[2:])
    assert rows["terminals online"] == "200 of 200"
    assert rows["online after 1 s"] == "200, lost 0"
    assert rows["all back after kill -9 of 2 hubs"].endswith("s (200 online)")
    assert rows["result pushed to its terminal, 30/s, 10 sent"].startswith("p50 ")
    assert "<polyline" in (tmp_path / "out" / "fleet.svg").read_text()
    assert table in capsys.readouterr().out
