"""A person opens a door from afar: the command line, the whole system, a simulated terminal, the log."""

from pathlib import Path
from random import Random

from rollcall.office import bus_of, ensure_device
from shared.contracts.devices import GetDevice
from shared.runtime import background
from shared.testing import eventually
from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.events import Event, Online
from terminal.simulator import SimulatedDoor
from tests.e2e.test_command_line import said
from tests.systems import a_system, rows

LOG = "SELECT by, action, detail FROM audit WHERE action LIKE 'device open_door%'"


async def test_a_door_is_opened_from_the_command_line_and_the_log_says_who(tmp_path: Path) -> None:
    async with a_system(tmp_path) as system, bus_of(tmp_path) as bus:
        device, secret = await ensure_device(bus, "东门", "E-1")
        opening = ("device", "open", "东门", "--data", str(tmp_path), "--reason", "fire drill")
        status, words = await said(*opening)
        assert status != 0
        assert "the terminal is offline (终端不在线)" in words

        door, heard = SimulatedDoor(), list[Event]()
        server = Server(system.running.url, system.running.hub_url)
        identity = Identity(device.name, device.sn, secret)
        async with background(Terminal(identity, server, heard.append, obey=door.obey, dice=Random(1)).run()):

            async def is_open() -> bool:
                return (await said(*opening))[0] == 0

            async def is_online() -> bool:
                return any(isinstance(event, Online) for event in heard)

            await eventually(is_online, timeout=20)
            await eventually(is_open, timeout=20)
        assert door.opened == 1

        async def is_logged() -> bool:
            return bool(rows(system, LOG))

        await eventually(is_logged)
        assert rows(system, LOG) == [("command line", "device open_door", "fire drill · simulated door opened")]

        async def has_told() -> bool:
            told = await bus.ask(GetDevice(device_id=device.device_id))
            return told.config_taken == 0 and told.clock_offset_ms is not None and abs(told.clock_offset_ms) < 1_000

        await eventually(has_told, timeout=20)
