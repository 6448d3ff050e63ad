"""`rollcall fleet` on a whole system with two hubs: every trial, and kill -9 of both hubs under it."""

import json
from pathlib import Path

import pytest

from rollcall.fleet import FleetOptions, fleet, hub_pids
from rollcall.office import bus_of
from shared.contracts.devices import ListDevices
from tests.systems import a_system

COUNT = 200


@pytest.mark.alone
async def test_a_fleet_is_there_obeys_takes_over_and_comes_back_after_kill_9_of_every_hub(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_system(tmp_path / "data", hubs=2) as system:
        before = hub_pids(system.running)
        assert len(before) == 2
        options = FleetOptions(
            COUNT, seconds=6, processes=2, pushes=20, orders=10, fps=2, broadcast=True, storm=True, out=tmp_path / "out"
        )
        await fleet(tmp_path / "data", options)
        assert not set(before) & set(hub_pids(system.running))
        async with bus_of(tmp_path / "data") as bus:
            assert (await bus.ask(ListDevices())).total == 0
    said = json.loads((tmp_path / "out" / "fleet.json").read_text())["findings"]
    assert said["held"] == {"online": COUNT, "lost": 0, "s": 6}
    assert (said["push"]["samples"], said["order"]["samples"]) == (40, 20)
    assert said["broadcast"]["taken"] == COUNT
    assert said["fairness"]["cameras"] == 2 and said["fairness"]["broken"] == 0 and said["fairness"]["answers"] > 0
    assert (said["storm"]["killed"], said["storm"]["online"]) == (2, COUNT)
    table = (tmp_path / "out" / "fleet.md").read_text()
    rows = dict(row.strip("| ").split(" | ", 1) for row in table.splitlines()[2:])
    assert rows["terminals online"] == "200 of 200"
    assert rows["online after 6 s"] == "200, lost 0"
    assert rows["all back after kill -9 of 2 hubs"].endswith("s (200 online)")
    assert rows["result pushed to its terminal, 20/s, 40 sent"].startswith("p50 ")
    assert "<polyline" in (tmp_path / "out" / "fleet.svg").read_text()
    assert table in capsys.readouterr().out
