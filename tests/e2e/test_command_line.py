"""`rollcall` as a person types it: it says what is wrong in one sentence, and leaves nothing behind."""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from rollcall.local import free_port
from rollcall.running import find_running
from shared.testing import eventually
from tests.systems import photos, register

ROLLCALL = str(Path(sys.executable).with_name("rollcall"))


@dataclass
class Typed:
    """A command that runs, and what it has printed."""

    process: asyncio.subprocess.Process
    printed: list[str] = field(default_factory=list)

    async def until(self, words: str, timeout: float = 60) -> None:
        """Read on until a line has these words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            while not any(words in line for line in self.printed):
                line = await self.process.stdout.readline()
                assert line, f"ended without {words!r}:\n{self.text}"
                self.printed.append(line.decode())

    async def ended(self, timeout: float = 30) -> int:
        """Read to the end; the exit status."""
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout):
            async for line in self.process.stdout:
                self.printed.append(line.decode())
            return await self.process.wait()

    @property
    def text(self) -> str:
        return "".join(self.printed)


async def typed(*words: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> Typed:
    process = await asyncio.create_subprocess_exec(
        ROLLCALL,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(env or {})},
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    return Typed(process)


async def said(*words: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> tuple[int, str]:
    """(exit status, everything printed) of a command that ends by itself."""
    command = await typed(*words, stdin=stdin, env=env)
    status = await command.ended()
    return status, command.text


@asynccontextmanager
async def up(data: Path, port: int) -> AsyncIterator[Typed]:
    """`rollcall up`, ready; ended with Ctrl-C."""
    command = await typed("up", "--data", str(data), "--port", str(port), "--hub-port", str(free_port()))
    await command.until("No camera at hand?")
    try:
        yield command
    finally:
        if command.process.returncode is None:
            command.process.send_signal(signal.SIGINT)
            await command.ended()


def processes_on(data: Path) -> list[str]:
    """Command lines of live processes that belong to a data folder."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if f"ROLLCALL_DATA={data}".encode() in environment or str(data) in command:
            found.append(command)
    return found


async def test_up_prints_where_to_look_keeps_all_data_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    data, port, faces = tmp_path / "data", free_port(), photos()["Barack Obama"]
    async with up(data, port) as command, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as web:
        for path in ("/", "/live?ticket=", "/office"):
            assert f"http://127.0.0.1:{port}{path}" in command.text
        assert (await register(web, "kept", "Barack", faces[0])).status_code == 303
        assert (data / "keys.json").stat().st_mode & 0o777 == 0o600
        assert (data / "nats" / "nats.conf").stat().st_mode & 0o777 == 0o600
        setup = re.search(r"first visit: (\S+)", command.text)
        assert setup is not None
        assert (await web.get(setup[1])).status_code == 200
        command.process.send_signal(signal.SIGINT)
        assert await command.ended() == 0
    assert "stopped" in command.text
    assert "Traceback" not in command.text
    assert processes_on(data) == []
    async with up(data, port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as web:
        again = await register(web, "kept2", "Barack", faces[1])
        assert "这张脸已经登记过" in again.text


async def test_what_cannot_start_says_so_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, text = await said("up", "--data", str(tmp_path / "a"), "--port", str(port))
        assert (status, text.count("\n")) == (1, 1)
        assert f"Port {port}" in text
        assert "--port" in text
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for words, expected in (
        (("--data", str(blocked / "below")), "cannot be written"),
        (("--data", str(tmp_path / "b"), "--port", str(free_port())), "make models"),
    ):
        status, text = await said("up", *words, env={"ROLLCALL_MODELS": str(tmp_path / "nothing")})
        assert (status, text.count("\n")) == (1, 1), text
        assert expected in text
    status, text = await said("admin", "--data", str(tmp_path / "b"), "--password-stdin", stdin=b"long enough\n")
    assert (status, text.count("\n")) == (1, 1)
    assert "make up" in text


async def test_opening_to_the_network_is_warned_about(tmp_path: Path) -> None:
    port = free_port()
    command = await typed("up", "--data", str(tmp_path / "data"), "--port", str(port), "--host", "0.0.0.0")
    await command.until("Warning")
    assert "HTTPS" in command.text
    command.process.send_signal(signal.SIGTERM)
    await command.ended()
    assert processes_on(tmp_path / "data") == []


async def test_two_on_one_folder_and_a_killed_supervisor(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    async with up(data, port) as command:
        status, text = await said("up", "--data", str(data), "--port", str(free_port()))
        assert status == 1
        assert "Another Rollcall" in text
        command.process.kill()
        await command.process.wait()

        async def services_gone() -> bool:
            return not [line for line in processes_on(data) if "-m" in line]

        await eventually(services_gone, 20, "the services end when their supervisor was killed")
    assert find_running(data) is None
    async with up(data, port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as web:
        assert (await web.get("/readyz")).status_code == 200


async def test_the_office_from_the_command_line(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    here = ("--data", str(data))
    async with up(data, port), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as web:
        assert (await said("admin", *here, "--password-stdin", stdin=b"correct horse\n"))[0] == 0
        status, text = await said("admin", *here, "--password-stdin", stdin=b"short\n")
        assert (status, "8 characters" in text) == (1, True)
        assert "Secret: " in (await said("device", "add", *here, "北门", "SN-2"))[1]
        assert (await said("device", "add", *here, "--serial-only", "东门", "SN-1"))[0] == 0
        status, text = await said("device", "add", *here, "西门", "SN-1")
        assert (status, "Traceback" in text) == (1, False)
        assert "东门" in (await said("device", "list", *here))[1]
        form = {"deviceName": "东门", "sn": "SN-1"}
        answer = (await web.post("/faces/api/token", data=form)).json()
        assert (answer["flag"], answer["code"], len(answer["token"])) == ("token", 0, 40)
        answer = (await web.post("/faces/api/token", data={"deviceName": "北门", "sn": "SN-2"})).json()
        assert (answer["code"], len(answer["challenge"])) == (9001, 56)
        assert (await said("device", "suspend", *here, "北门"))[0] == 0
        assert "suspended" in (await said("device", "list", *here))[1]
        assert "may connect" in (await said("device", "authorise", *here, "北门"))[1]
        assert "Secret: " in (await said("device", "secret", *here, "北门"))[1]
        assert (await said("device", "remove", *here, "东门"))[0] == 0

        async def refused() -> bool:
            return bool((await web.post("/faces/api/token", data=form)).json()["code"] == 9001)

        await eventually(refused, 5, "a removed device gets no token")
        made = json.loads((await said("key", "create", *here, "--name", "door", "--qps", "5", "--json"))[1])
        assert sorted(made) == ["api_key", "secret_key"]
        listed = (await said("key", "list", *here))[1]
        assert (made["api_key"] in listed, made["secret_key"] in listed, "5 calls a second" in listed) == (1, 0, 1)
        assert (await said("key", "revoke", *here, made["api_key"]))[0] == 0
        assert "0 key(s)" in (await said("key", "list", *here))[1]
        status, text = await said("key", "revoke", *here, made["api_key"])
        assert (status, "Traceback" in text) == (1, False)
