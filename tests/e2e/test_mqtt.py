"""A third party by MQTT, and the whole system: let in, hears a punch, opens a door, is shut out again."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiomqtt import Client, MqttError

from rollcall.local import CannotStart, free_port
from rollcall.mqtt import MqttOptions
from rollcall.office import bus_of, ensure_device
from shared.contracts.attendance import PunchReport, ReportPunches, ReportState
from shared.contracts.base import new_id, now
from shared.contracts.terminals import device_source
from shared.runtime import background
from shared.testing import eventually
from terminal.admission import Identity, Server
from terminal.client import Terminal
from terminal.simulator import SimulatedDoor
from tests.e2e.test_command_line import said
from tests.systems import a_system, photos, pid, ready_again, register, rows, web_client

GUIDE = Path(__file__).parents[2] / "docs" / "mqtt.md"
LOG = "SELECT by, action FROM audit WHERE action LIKE 'device open_door%'"


async def password_of(data: Path, name: str, may: str) -> str:
    """Let a client in, as the office does."""
    status, words = await said("mqtt", "add", name, "--may", may, "--data", str(data))
    assert status == 0, words
    return re.findall("Password: ([0-9a-f]{32})", words)[0]


async def heard(client: Client, says: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first object that is the one."""
    async with asyncio.timeout(20):
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            told: dict[str, Any] = json.loads(message.payload)
            if says(told):
                return told
    raise AssertionError("the connection ended")


async def test_a_third_party_from_its_password_to_its_removal(tmp_path: Path) -> None:
    options = MqttOptions(port=free_port(), home_assistant="home")
    with pytest.raises(CannotStart, match="rollcall mqtt add home"):
        async with a_system(tmp_path, mqtt=options):
            pytest.fail("started")
    home_password = await password_of(tmp_path, "home", "command")

    def mqtt(name: str, password: str) -> Client:
        return Client("127.0.0.1", options.port, username=name, password=password, timeout=20)

    async with a_system(tmp_path, mqtt=options) as system, bus_of(tmp_path) as bus, web_client(system) as web:
        device, secret = await ensure_device(bus, "东门", "E-1")
        assert (await register(web, "s1", "李雷", photos()["Jacinda Ardern"][0])).status_code == 303

        async def punch() -> None:
            report = PunchReport(report_id=new_id(), who="s1", captured_at=now())
            source = device_source(device.device_id)
            told = await bus.ask(ReportPunches(place=new_id(), source=source, reports=(report,)))
            assert [outcome.state for outcome in told.outcomes] == [ReportState.RECORDED]

        door = SimulatedDoor()
        identity = Identity(device.name, device.sn, secret)
        server = Server(system.running.url, system.running.hub_url)
        terminal = Terminal(identity, server, lambda event: None, obey=door.obey, dice=Random(1))
        async with background(terminal.run()), mqtt("home", home_password) as home:
            root = f"rollcall/v1/device/{device.device_id}"
            mine = (f"{root}/state", f"{root}/door/result/home", "rollcall/v1/punch", "rollcall/v1/status")
            await home.subscribe([(topic, 1) for topic in mine])
            await heard(home, lambda told: told.get("state") == "online")
            await home.publish(f"{root}/door/set/home", b'{"id":"a1"}', qos=1)
            assert (await heard(home, lambda told: "ok" in told))["ok"]
            assert door.opened == 1
            await eventually(lambda: is_logged(system), what="the log says who")
            await punch()
            assert (await heard(home, lambda told: "event" in told))["name"] == "李雷"

            reader_password = await password_of(tmp_path, "reader", "read")
            async with let_in(lambda: mqtt("reader", reader_password)) as reader:
                await reader.subscribe("rollcall/v1/punch", 1)
                await punch()
                assert (await heard(reader, lambda told: True))["num"] == "s1"
                assert await example(options.port, "home", home_password, punch) == "李雷"
                assert (await said("mqtt", "remove", "reader", "--data", str(tmp_path)))[0] == 0
                with pytest.raises(MqttError):  # it is cut off …
                    await heard(reader, lambda told: False)
            with pytest.raises(MqttError, match="Not authorized"):
                async with mqtt("reader", reader_password):
                    pytest.fail("let in")

            old = pid(system, "mqtt-bridge")
            system.children["mqtt-bridge"].kill()  # … and home is not: it hears the bridge's last will
            await heard(home, lambda told: told.get("status") == "offline")
            await punch()
            event = await heard(home, lambda told: "event" in told)
            assert event["num"] == "s1"
            await ready_again(system, "mqtt-bridge")
            assert pid(system, "mqtt-bridge") != old


async def is_logged(system: Any) -> bool:
    return rows(system, LOG) == [("mqtt home", "device open_door")]


@asynccontextmanager
async def let_in(dial: Callable[[], Client]) -> AsyncIterator[Client]:
    """Connected, once the broker has read who may."""

    async def is_let_in() -> bool:
        try:
            async with dial():
                return True
        except MqttError:
            return False

    await eventually(is_let_in)
    async with dial() as client:
        yield client


async def example(port: int, name: str, password: str, punch: Callable[[], Any]) -> str:
    """The name that the guide's own program prints."""
    (program,) = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    environment = {**os.environ, "MQTT_PORT": str(port), "MQTT_NAME": name, "MQTT_PASSWORD": password}
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-u", "-c", program, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert running.stdout is not None
    try:
        async with asyncio.timeout(20):
            assert b"listening" in await running.stdout.readline()
            await punch()
            return (await running.stdout.readline()).decode().split()[-1]
    finally:
        running.kill()
        await running.wait()
