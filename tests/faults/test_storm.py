"""`rollcall fleet` on a whole system: every trial, and kill -9 of every hub."""

import json
from pathlib import Path

from rollcall.fleet import FleetOptions, fleet
from tests.systems import a_system

COUNT = 60


async def test_a_fleet_is_there_obeys_takes_over_and_comes_back_after_kill_9_of_every_hub(tmp_path: Path) -> None:
    async with a_system(tmp_path / "data", hubs=2):
        options = FleetOptions(
            COUNT, seconds=6, processes=2, pushes=20, orders=10, fps=2, broadcast=True, storm=True, out=tmp_path / "out"
        )
        await fleet(tmp_path / "data", options)
    said = json.loads((tmp_path / "out" / "fleet.json").read_text())["findings"]
    assert said["held"] == {"online": COUNT, "lost": 0, "s": 6}
    assert (said["push"]["samples"], said["order"]["samples"]) == (40, 20)
    assert said["broadcast"]["taken"] == COUNT
    assert said["fairness"]["cameras"] == 2 and said["fairness"]["broken"] == 0 and said["fairness"]["answers"] > 0
    assert (said["storm"]["killed"], said["storm"]["online"]) == (2, COUNT)
