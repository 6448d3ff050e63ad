"""An open, migrated, empty database of each kind, and things to put into it."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from registry.handlers import Attendance, Devices, FaceLibrary, Keyring, Office, Students, Terminals
from registry.store.database import Database, open_database
from registry.store.library import Library, open_library
from registry.store.migrate import migrate
from registry.sweeper import Sweeper
from registry.tables import Table
from shared.security import Vault
from tests.databases import MySqlServer, database_url, mysql_server, mysql_url
from tests.integration.registry.samples import LIBRARY_KEY, SHANGHAI, Clock

__all__ = ["database_url", "mysql_server", "mysql_url"]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "rollcall.db"
    asyncio.run(_migrated(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def mysql_template(mysql_server: MySqlServer) -> Iterator[str]:
    """A migrated MySQL database, to be emptied after each use."""
    url = mysql_server.create()
    asyncio.run(_migrated(url))
    yield url
    mysql_server.drop(url)


async def _migrated(url: str) -> None:
    opened = open_database(url)
    await migrate(opened)
    await opened.close()


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    copy = shutil.copy(sqlite_template, tmp_path / "rollcall.db")
    return f"sqlite:///{copy}"


@pytest.fixture
def mysql_database_url(mysql_server: MySqlServer, mysql_template: str) -> Iterator[str]:
    yield mysql_template
    mysql_server.empty(mysql_template, [table.name for table in reversed(Table.metadata.sorted_tables)])


@pytest.fixture(params=["sqlite", "mysql"])
def migrated_url(request: pytest.FixtureRequest) -> str:
    """A database of each kind in turn, with all tables and without rows; not to be migrated any further."""
    url: str = request.getfixturevalue(f"{request.param}_database_url")
    return url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    """The same, open."""
    opened = open_database(migrated_url)
    yield opened
    await opened.close()


@pytest.fixture
async def library(database: Database) -> Library:
    return await open_library(database, Vault(LIBRARY_KEY))


@pytest.fixture
def students(database: Database, library: Library) -> Students:
    return Students(database, library)


@pytest.fixture
def sweeper(database: Database) -> Sweeper:
    return Sweeper(database)


@pytest.fixture
def faces(database: Database, library: Library, sweeper: Sweeper) -> FaceLibrary:
    return FaceLibrary(database, library, sweeper)


@pytest.fixture
def keyring(database: Database, library: Library) -> Keyring:
    return Keyring(database, library.vault)


@pytest.fixture
def attendance(database: Database) -> Attendance:
    return Attendance(database, SHANGHAI)


@pytest.fixture
def devices(database: Database, library: Library) -> Devices:
    return Devices(database, library.vault)


@pytest.fixture
def terminals(database: Database, library: Library) -> Terminals:
    return Terminals(database, library.vault, 60.0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def office(database: Database, clock: Clock) -> Office:
    return Office(database, PasswordHasher(time_cost=1, memory_cost=1_024, parallelism=1), clock)
