"""A whole Rollcall for a test: the processes that `rollcall up` starts, on free ports, in a folder of its own.

Tests of what people and terminals see take a `Site`: such a system, or one that runs already wherever its parts are.
tests/compose names the one in its containers by $ROLLCALL_TEST_SITE, and lets the same tests at it.
"""

import base64
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx
from sqlalchemy import Connection, create_engine, make_url

from rollcall.keys import Keys, write_private
from rollcall.local import Options, System, free_port, local_system
from rollcall.mqtt import MqttOptions
from rollcall.office import bus_of
from rollcall.running import Running, read_note, write_note
from shared.contracts.devices import ListDevices, RemoveDevice
from shared.contracts.people import DeleteStudent, FindStudents
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


@dataclass(frozen=True, slots=True)
class Site:
    """A whole Rollcall, wherever its parts run. `data` serves `rollcall … --data` and bus_of."""

    data: Path
    keys: Keys
    running: Running
    database: str
    """as ROLLCALL_DATABASE"""
    own: System | None = None
    """where its processes are ours"""

    def write(self) -> None:
        """What another process needs to find it, for as long as the one of `running.pid` lives."""
        write_private(self.data / "keys.json", self.keys.model_dump_json())
        write_private(self.data / "database", self.database)
        write_note(self.data, self.running)

    @classmethod
    def read(cls, data: Path) -> Self:
        running = read_note(data)
        assert running is not None
        return cls(data, Keys.of(data), running, (data / "database").read_text())


@asynccontextmanager
async def a_site(folder: Path, *, recognizers: int = 1) -> AsyncIterator[Site]:
    """The one that runs already, without people, punches and terminals; or else one of its own, in this folder."""
    if named := os.environ.get("ROLLCALL_TEST_SITE"):
        site = Site.read(Path(named))
        await _empty(site)
        yield site
    else:
        async with a_system(folder, recognizers=recognizers) as system:
            yield Site(system.options.data, system.keys, system.running, system.options.database, system)


async def _empty(site: Site) -> None:
    """As the office would; but punches and what was done stay for ever, so they are taken out of the database."""
    async with bus_of(site.data) as bus:
        while students := (await bus.ask(FindStudents())).rows:
            for row in students:
                await bus.ask(DeleteStudent(student_id=row.person.student_id, by="test"))
        for device in (await bus.ask(ListDevices())).devices:
            await bus.ask(RemoveDevice(device_id=device.device_id, by="test"))
    with _database(site) as database:
        for table in ("punches", "audit"):
            database.exec_driver_sql(f"delete from {table}")
        database.commit()
    recognizers = [url for name, url in site.running.admin_urls.items() if name.startswith("recognizer")]
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:

        async def nobody_is_known() -> bool:
            told = [(await client.get(f"{url}/metrics")).text for url in recognizers]
            return all('rollcall_index_faces{index="door"} 0.0' in text for text in told)

        await eventually(nobody_is_known, 30, "the recognizers have forgotten everybody")


async def register(web: httpx.AsyncClient, num: str, name: str, jpeg: bytes) -> httpx.Response:
    """As the page's form does."""
    form = {"stu_name": name, "stu_class": "三年二班", "stu_num": num, "gender": "WOMAN", "consent": "yes"}
    return await web.post("/register", data=form, files={"photo": ("p.jpg", jpeg)})


def data_url(picture: bytes) -> str:
    """As a page posts its canvas."""
    return "data:image/jpeg;base64," + base64.b64encode(picture).decode()


def web_client(system: System | Site) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=system.running.url, timeout=20, trust_env=False)


def rows(system: System | Site, query: str) -> list[tuple[object, ...]]:
    """What the database says."""
    with _database(system) as database:
        return [tuple(row) for row in database.exec_driver_sql(query, execution_options={"no_parameters": True})]


@contextmanager
def _database(system: System | Site) -> Iterator[Connection]:
    named = system.database if isinstance(system, Site) else system.options.database
    url = make_url(named)
    drivers = {"sqlite": "sqlite+pysqlite", "mysql": "mysql+pymysql"}
    engine = create_engine(url.set(drivername=drivers[url.get_backend_name()]))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


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


async def killed_and_back(system: System, name: str) -> None:
    """kill -9 of a service, and wait until the supervisor has brought it back."""
    before = pid(system, name)
    os.kill(before, signal.SIGKILL)
    await died(system, name, before)
    await ready_again(system, name)
