"""Real databases for the tests: SQLite files, and a private MariaDB (or the server of ROLLCALL_TEST_MYSQL_URL).

Every test that asks gets an empty database of its own. The private server is as durable as production against
kill -9 (it commits to its log before it answers); only what guards against power cuts is off.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import pymysql
import pytest
from sqlalchemy import URL, make_url

from rollcall.local import free_port
from tests.conftest import require_real

USER, PASSWORD = "rollcall", "test-rollcall"
READY_S = 30.0
FAST = (
    "--skip-name-resolve",
    "--innodb-doublewrite=0",
    "--innodb-flush-method=nosync",
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--performance-schema=0",
    "--max-connections=200",
)


@dataclass
class MySqlServer:
    """A server to make databases on."""

    url: URL

    def create(self) -> str:
        """A fresh, empty database; its URL as an operator would write it."""
        name = f"t_{uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name}")
        return self.url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        self._run(f"DROP DATABASE {make_url(url).database}")

    def empty(self, url: str, tables: Iterable[str]) -> None:
        """Forget all rows, children before parents as `tables` names them; ten times faster than a new database."""
        name = make_url(url).database
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"DELETE FROM {name}.{table}")

    def _run(self, statement: str) -> None:
        with closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def connect(self) -> "pymysql.Connection[pymysql.cursors.Cursor]":
        return pymysql.connect(
            host=self.url.host or "127.0.0.1",
            port=self.url.port or 3306,
            user=self.url.username or "",
            password=self.url.password or "",
            autocommit=True,
        )


@dataclass
class OwnServer(MySqlServer):
    """A private mariadbd that a test may kill and start again on the same port and data."""

    folder: Path = field(default_factory=Path)
    process: "subprocess.Popen[bytes] | None" = None

    def install(self) -> None:
        options = [f"--datadir={self.folder / 'data'}", "--auth-root-authentication-method=normal", "--skip-test-db"]
        command = ["mariadb-install-db", "--no-defaults", *_as_user(), *options]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def start(self) -> None:
        """Start and wait until it takes connections."""
        # The account is made by the server itself, so that TCP with a password is the only way in.
        first = self.folder / "first.sql"
        first.write_text(
            f"CREATE USER IF NOT EXISTS {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON *.* TO {USER}@'127.0.0.1';\n"
        )
        places = [
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 's'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--init-file={first}",
            f"--port={self.url.port}",
            "--bind-address=127.0.0.1",
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["mariadbd", "--no-defaults", *_as_user(), *places, *FAST], stdout=log, stderr=log
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                self.connect().close()
                return
            except pymysql.err.OperationalError:
                if self._ended_within(0.05) or time.monotonic() > deadline:
                    pytest.fail("mariadbd does not start:\n" + (self.folder / "log").read_text()[-2_000:])

    def _ended_within(self, seconds: float) -> bool:
        assert self.process is not None
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def _as_user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


@contextmanager
def own_server(disk: Path | None = None) -> Iterator[OwnServer]:
    """A mariadbd of our own while inside, its files on `disk`; skips (in CI: fails) where MariaDB is not installed."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        require_real("MariaDB (apt-get install mariadb-server), or ROLLCALL_TEST_MYSQL_URL")
    # In memory where there is such a place: it outlives kill -9 as a disk does, and makes tables ten times faster.
    # And a path short enough for the socket, which pytest's are not.
    memory = Path("/dev/shm")
    folder = Path(mkdtemp(prefix="rc-db-", dir=disk or (memory if os.access(memory, os.W_OK) else None)))
    server = OwnServer(URL.create("mysql", USER, PASSWORD, "127.0.0.1", free_port()), folder)
    try:
        server.install()
        server.start()
        yield server
    finally:
        if server.process is not None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def mysql_server() -> Iterator[MySqlServer]:
    """A MySQL or MariaDB server for the whole run."""
    if given := os.environ.get("ROLLCALL_TEST_MYSQL_URL"):
        yield MySqlServer(make_url(given))
        return
    with own_server() as server:
        yield server


@pytest.fixture
def mysql_url(mysql_server: MySqlServer) -> Iterator[str]:
    """An empty MySQL database."""
    url = mysql_server.create()
    yield url
    mysql_server.drop(url)


@pytest.fixture(params=["sqlite", "mysql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rollcall.db'}"
    url: str = request.getfixturevalue("mysql_url")
    return url
