"""The program at the door as its owner starts it, against a whole system: strangers, a student, orders, a restart."""

import asyncio
import io
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from click.testing import CliRunner
from PIL import Image

from rollcall.__main__ import main
from rollcall.office import bus_of, ensure_device
from shared.bus.terminals import order
from shared.contracts.devices import DeviceConfig, EditDevice
from shared.contracts.terminals import Restart, TerminalOrder
from shared.testing import eventually
from tests.systems import Site, a_site, photos, register, rows, web_client

OPEN_S = 1.5


class Program:
    """`rollcall terminal` in a process of its own, and the lines that it printed, with their times."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[tuple[float, str]] = []

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append((asyncio.get_running_loop().time(), line.decode().strip()))
            print(line.decode(), end="")

    def times(self, words: str) -> list[float]:
        return [at for at, line in self.lines if re.search(words, line)]

    async def says(self, words: str, count: int = 1) -> float:
        """When it said this for the `count`th time."""

        async def so_often() -> bool:
            return len(self.times(words)) >= count

        await eventually(so_often, 30, f"it says {words}")
        return self.times(words)[count - 1]


@asynccontextmanager
async def door_program(site: Site, secret: str, camera: Path, *more: str) -> AsyncIterator[Program]:
    file = camera.parent / "secret.txt"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    config = camera.parent / "door.toml"
    config.write_text(
        f'name = "东门"\nsn = "E-1"\nsecret-file = "{file}"\nseconds-each = 0.5\n'
        f'card = ["fifo:{camera.parent / "card"}"]\n',
        encoding="utf-8",
    )
    options = ("--config", str(config), "--server", site.running.url, "--hub", site.running.hub_url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall", "terminal", *options, "--camera", str(camera), *more),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    program = Program(process)
    listening = asyncio.create_task(program.listen())
    try:
        yield program
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening


async def command(*words: str) -> None:
    """`rollcall …`, in a thread of its own: a process would take seconds to start."""
    done = await asyncio.to_thread(CliRunner().invoke, main, words)
    assert done.exit_code == 0, done.output


def show(camera: Path, photo: bytes) -> None:
    """Whoever stood before the camera leaves; somebody else comes."""
    (camera / "next").write_bytes(photo)
    (camera / "next").rename(camera / "a.jpg")


async def test_a_door_from_morning_to_evening(tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    camera.mkdir()
    async with a_site(tmp_path / "data") as site, bus_of(site.data) as bus, web_client(site) as web:
        first, second = photos()["Emmanuel Macron"][:2]
        assert (await register(web, "2026010", "马克龙", first)).status_code < 400
        device, secret = await ensure_device(bus, "东门", "E-1")
        config = DeviceConfig(open_ms=round(OPEN_S * 1000), greeting="早上好")
        await bus.ask(EditDevice(device_id=device.device_id, name="东门", config=config, by="test"))

        show(camera, photos()["Rishi Sunak"][0])
        async with door_program(site, secret, camera) as door:
            # The hub says first how long the door shall stay open.
            await door.says("online: hub")
            await door.says("configuration 1")
            await door.says("unknown · 未识别")
            assert door.times("relay on") == []

            show(camera, second)
            opened = await door.says("relay on")
            await door.says("recorded · 马克龙 .2026010. · 打卡成功")
            closed = await door.says("relay off")
            assert OPEN_S - 0.1 <= closed - opened <= OPEN_S + 3
            assert len(rows(site, "select 1 from punches where st_num = '2026010'")) == 1
            assert rows(site, "select distinct place from punches") == [("东门",)]

            show(camera, photos()["Rishi Sunak"][0])
            await door.says("unknown · 未识别", 2)
            before = len(door.times("relay on"))
            await command("device", "open", "东门", "--data", str(site.data), "--seconds", "0.2", "--reason", "访客")
            await door.says("relay on", before + 1)
            await door.says("relay off", before + 1)

            fifo = tmp_path / "card"
            await asyncio.to_thread(fifo.write_text, "404\n2026010\n")
            await door.says("card 404: This card is nobody's")
            await door.says("card 2026010: repeated")
            await door.says("relay on", before + 2)
            assert len(rows(site, "select 1 from punches where st_num = '2026010'")) == 1

            file = tmp_path / "seen.jpg"
            await command("device", "snapshot", "东门", "-o", str(file), "--data", str(site.data))
            with Image.open(io.BytesIO(file.read_bytes())) as picture:
                assert picture.format == "JPEG"
                assert max(picture.size) == 640

            restarting = TerminalOrder(device_id=device.device_id, order=Restart(), by="test")
            assert (await order(bus, restarting)).ok
            await door.says("order restart")
            await door.says("online: hub", 2)
            assert door.process.returncode is None

            door.process.send_signal(signal.SIGTERM)
            assert await door.process.wait() == 0
        log = "select action from audit where action like 'device %' order by id"
        done = [action for (action,) in rows(site, log)]
        assert {"device open_door", "device take_snapshot", "device restart"} <= set(done)
