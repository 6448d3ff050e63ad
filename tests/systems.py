"""A whole Rollcall for a test: the processes that `rollcall up` starts, on free ports, in a folder of its own."""

import base64
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from rollcall.local import Options, System, free_port, local_system
from rollcall.mqtt import MqttOptions
from shared.sample_faces import load
from shared.testing import eventually

CACHE = Path(os.environ.get("ROLLCALL_CACHE", Path(sys.prefix) / "share" / "rollcall" / "faces"))


def photos() -> dict[str, tuple[bytes, ...]]:
    """Person → public photos."""
    return load(CACHE)


@asynccontextmanager
async def a_system(
    folder: Path, *, recognizers: int = 1, hubs: int = 1, database: str = "", mqtt: MqttOptions | None = None
) -> AsyncIterator[System]:
    """Everything running; on failure its log is what pytest shows."""
    options = Options(
        data=folder,
        port=free_port(),
        hub_port=free_port(),
        recognizers=recognizers,
        hubs=hubs,
        database=database,
        mqtt=mqtt,
    )
    async with local_system(options, lambda name, line: print(f"{name:>13} | {line}"), print) as system:
        yield system


async def register(web: httpx.AsyncClient, num: str, name: str, jpeg: bytes) -> httpx.Response:
    """As the page's form does."""
    form = {"stu_name": name, "stu_class": "三年二班", "stu_num": num, "gender": "WOMAN", "consent": "yes"}
    return await web.post("/register", data=form, files={"photo": ("p.jpg", jpeg)})


def data_url(picture: bytes) -> str:
    """As a page posts its canvas."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def web_client(system: System) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=system.running.url, timeout=20, trust_env=False)


def rows(system: System, query: str) -> list[tuple[object, ...]]:
    """What the SQLite database of the system says."""
    with sqlite3.connect(f"file:{system.options.data / 'rollcall.db'}?mode=ro", uri=True, timeout=10) as database:
        return database.execute(query).fetchall()


async def ready_again(system: System, name: str, timeout: float = 20) -> None:
    """Wait until a service says that it is ready."""
    async with httpx.AsyncClient(timeout=2, trust_env=False) as client:

        async def ready() -> bool:
            try:
                return (await client.get(system.ready_urls[name])).status_code == 200
            except httpx.HTTPError:
                return False

        await eventually(ready, timeout, f"{name} is ready again")


def pid(system: System, name: str) -> int:
    process = system.children[name].process
    assert process is not None
    return process.pid


def freeze(system: System, name: str) -> None:
    """SIGSTOP: alive for the kernel, silent for everybody else."""
    os.kill(pid(system, name), signal.SIGSTOP)


async def died(system: System, name: str, old_pid: int) -> None:
    """Wait until the supervisor has started the process anew."""

    async def renewed() -> bool:
        return pid(system, name) != old_pid

    await eventually(renewed, 20, f"{name} is started again")
