"""A person tells a terminal what to do from afar: the command line, the whole system, a simulated terminal, the log."""

from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from rollcall.office import (
    bus_of,
    edit_device,
    ensure_device,
    list_devices,
    print_log,
    remove_pending,
    tell,
)
from shared.contracts.devices import GetDevice, ListDevices
from shared.contracts.terminals import IssueToken, ShowMessage, UpdateFaces
from shared.errors import Conflict, DeviceRefused
from shared.runtime import background
from shared.testing import eventually
from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.events import Event, Online
from terminal.simulator import SimulatedDoor
from tests.e2e.test_command_line import said
from tests.systems import a_site, rows

LOG = "SELECT `by`, action, detail FROM audit WHERE action LIKE 'device open_door%'"


async def test_a_terminal_is_seen_told_and_edited_from_the_command_line_and_the_log_says_who(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_site(tmp_path) as site, bus_of(site.data) as bus:
        device, secret = await ensure_device(bus, "东门", "E-1")
        opening = ("device", "open", "东门", "--data", str(site.data), "--reason", "fire drill")
        status, words = await said(*opening)
        assert status != 0
        assert "the terminal is offline (终端不在线)" in words

        async def listed() -> str:
            capsys.readouterr()
            await list_devices(site.data)
            return capsys.readouterr().out

        assert "offline, never seen" in await listed()
        door, heard = SimulatedDoor(), list[Event]()
        server = Server(site.running.url, site.running.hub_url)
        identity = Identity(device.name, device.sn, secret)
        async with background(Terminal(identity, server, heard.append, obey=door.obey, dice=Random(1)).run()):

            async def is_open() -> bool:
                return (await said(*opening))[0] == 0

            async def is_online() -> bool:
                return any(isinstance(event, Online) for event in heard)

            await eventually(is_online, timeout=20)
            await eventually(is_open, timeout=20)
            assert "online since" in await listed()

            await tell(site.data, "东门", lambda: ShowMessage(zh="放学了", en="放学了"))
            assert "东门: done. shown" in capsys.readouterr().out
            assert door.shown == ["放学了"]
            with pytest.raises(Conflict, match="unsupported"):
                await tell(site.data, "东门", UpdateFaces)
        assert door.opened == 1

        async def is_logged() -> bool:
            return bool(rows(site, LOG))

        await eventually(is_logged)
        assert rows(site, LOG) == [("command line", "device open_door", "fire drill · simulated door opened")]

        async def has_told() -> bool:
            told = await bus.ask(GetDevice(device_id=device.device_id))
            return told.config_taken == 0 and told.clock_offset_ms is not None and abs(told.clock_offset_ms) < 1_000

        await eventually(has_told, timeout=20)

        await edit_device(site.data, "东门", {"classes": ("三年二班",), "greeting": "你好"})
        await edit_device(site.data, "东门", {"place": "一号楼"})
        with pytest.raises(ValidationError, match="volume"):
            await edit_device(site.data, "东门", {"volume": 900})
        edited = await bus.ask(GetDevice(device_id=device.device_id))
        assert (edited.place, edited.classes, edited.config.greeting) == ("一号楼", ("三年二班",), "你好")
        line = await listed()
        for words in ("offline, seen ", "at 一号楼; classes 三年二班; clock "):
            assert words in line

        async def all_logged() -> bool:
            capsys.readouterr()
            await print_log(site.data, "东门", 50)
            lines = capsys.readouterr().out
            told = (
                "command line",
                "open_door  fire drill",
                "show_message  放学了 · shown",
                "update_faces, not done  unsupported",
            )
            return all(words in lines for words in (*told, "edited", "added"))

        await eventually(all_logged)

        with pytest.raises(DeviceRefused):
            await bus.ask(IssueToken(name="陌生", sn="X-1"))
        await remove_pending(site.data)
        assert "Removed 1 device(s)" in capsys.readouterr().out
        assert [each.name for each in (await bus.ask(ListDevices())).devices] == ["东门"]
