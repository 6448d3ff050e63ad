"""Opening SQLite or MySQL, and the two ways to talk to them: `read` and `write`.

The differences between the two databases live here and in `exclusive`, nowhere else.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from shared.errors import Unavailable

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]

ATTEMPTS = 5
"""How often a write runs at most: deadlocks, lock waits and lost races for a unique value are run again."""
PATIENCE_S = 8.0
"""A longer transaction is given up, in seconds. Its events may come again meanwhile: the inbox knows them."""
RETRY_ERRNOS = frozenset({1205, 1213, 1020})
"""MySQL: lock wait timeout, deadlock, record changed since last read (MariaDB with snapshot isolation)."""
SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=5000",
    "PRAGMA secure_delete=ON",
)
MYSQL_SESSION = (
    "SET SESSION sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
    " innodb_lock_wait_timeout=5, time_zone='+00:00'"
)

log = structlog.get_logger("database")


class DatabaseUnusable(OSError):
    """The database cannot be used; the message is one sentence for the operator.

    An OSError, because `shared.runtime.run` says those in one line and ends.
    """


class Database:
    """An open database. Close with `close`; made by `open_database`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.is_mysql = engine.dialect.name == "mysql"
        self.news = asyncio.Event()
        """set by every commit that left something in the outbox"""
        # SQLite has one writer. Waiting here is fair and wakes at once; its own busy handler sleeps and starves.
        self._turn: AbstractAsyncContextManager[Any] = nullcontext() if self.is_mysql else asyncio.Lock()

    async def write(self, work: Work[T]) -> T:
        """Run `work` in one transaction and commit. `work` may run several times, so it only touches its session.

        Raises what `work` raises (nothing is written then), or Unavailable when the database is away.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._once(work)
            except DBAPIError as error:
                if attempt == ATTEMPTS or not _worth_another_try(error):
                    raise _translated(error) from error
                log.info("transaction runs again", attempt=attempt, reason=type(error.orig).__name__)
                await asyncio.sleep(0.01 * attempt)
            except (OSError, PoolTimeout) as error:
                raise _translated(error) from error
        raise AssertionError("unreachable")

    async def _once(self, work: Work[T]) -> T:
        async with asyncio.timeout(PATIENCE_S), self._turn, self._session(writes=True) as session:
            result = await work(session)
            await session.commit()
            if session.info.get("news"):
                self.news.set()
            return result

    async def read(self, work: Work[T], *, snapshot: bool = False) -> T:
        """Run `work`, which changes nothing. `snapshot`: all its queries see the database of one moment."""
        try:
            async with asyncio.timeout(PATIENCE_S), self._session(writes=False) as session:
                if snapshot and self.is_mysql:
                    await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
                return await work(session)
        except (SQLAlchemyError, OSError) as error:
            raise _translated(error) from error

    def _session(self, *, writes: bool) -> AsyncSession:
        return AsyncSession(self.engine.execution_options(writes=writes), expire_on_commit=False)

    async def ready(self) -> None:
        """The health check: raises Unavailable when the database does not answer."""
        await self.read(lambda session: session.execute(text("SELECT 1")))

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[AsyncConnection]:
        """Hold a lock that all processes on this database share, on a connection of its own, while inside.

        MySQL: GET_LOCK, waited for as long as it takes; it ends with the connection, so a killed holder frees it.
        SQLite: the registry is its only process, nothing to lock.
        """
        async with self.engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT") if self.is_mysql else plain
            while not await self.holds(connection, name):
                await connection.execute(text("SELECT GET_LOCK(:name, 1)"), {"name": self._lock_name(name)})
            try:
                yield connection
            finally:
                await self._release(connection, name)

    async def holds(self, connection: AsyncConnection, name: str) -> bool:
        """Whether `connection` still has the lock; raises when the connection is gone."""
        if not self.is_mysql:
            return True
        question = text("SELECT IS_USED_LOCK(:name) = CONNECTION_ID()")
        return bool(await connection.scalar(question, {"name": self._lock_name(name)}))

    async def _release(self, connection: AsyncConnection, name: str) -> None:
        if not self.is_mysql:
            return
        try:
            await connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": self._lock_name(name)})
        except (SQLAlchemyError, OSError):
            await connection.invalidate()

    def _lock_name(self, name: str) -> str:
        # Lock names belong to the whole server, and end after 64 characters.
        return f"rollcall {name} {self.engine.url.database}"[:64]

    async def close(self) -> None:
        await self.engine.dispose()


def database_url(given: str) -> URL:
    """The URL with its async driver. Raises DatabaseUnusable, without quoting a password."""
    try:
        url = make_url(given)
    except ArgumentError:
        raise DatabaseUnusable("ROLLCALL_DATABASE is not a URL such as mysql://user:password@host/rollcall") from None
    match url.drivername.split("+")[0]:
        case "sqlite":
            return url.set(drivername="sqlite+aiosqlite")
        case "mysql" | "mariadb":
            return url.set(drivername="mysql+aiomysql").update_query_dict({"charset": "utf8mb4"})
    raise DatabaseUnusable(f"ROLLCALL_DATABASE: {url.drivername} is not supported, only sqlite and mysql")


def open_database(given: str) -> Database:
    """A database by its URL; connects when first used."""
    url = database_url(given)
    return Database(_sqlite(url) if url.drivername.startswith("sqlite") else _mysql(url))


def _mysql(url: URL) -> AsyncEngine:
    # Parameters are names, photos and embeddings: hidden, so that no traceback carries them into a log.
    return create_async_engine(
        url,
        isolation_level="READ COMMITTED",
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=10,
        max_overflow=20,
        pool_timeout=5,
        pool_recycle=3_600,
        connect_args={"connect_timeout": 3, "init_command": MYSQL_SESSION},
    )


def _sqlite(url: URL) -> AsyncEngine:
    if url.database:
        _private_file(Path(url.database))
    engine = create_async_engine(url, hide_parameters=True, pool_size=5, max_overflow=5, pool_timeout=5)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _private_file(path: Path) -> None:
    """Readable by the owner only, from its first byte."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise DatabaseUnusable(f"the database file {path} cannot be written: {error.strerror}") from error


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # By default the driver begins transactions itself, late and never for reads; with None it leaves that to us.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the write lock at once: one that began as a reader could not get it after another's commit.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _worth_another_try(error: DBAPIError) -> bool:
    # A broken unique constraint means that somebody was faster: the next run sees their row and answers properly.
    number = error.orig.args[0] if error.orig and error.orig.args else None
    return isinstance(error, IntegrityError) or number in RETRY_ERRNOS


def _translated(error: Exception) -> Exception:
    """Unavailable if the database is away or overwhelmed; the error itself if it is a bug of ours."""
    away = isinstance(error, OSError | PoolTimeout) or getattr(error, "connection_invalidated", False)
    if away or type(error).__name__ in {"OperationalError", "InterfaceError", "InternalError"}:
        log.warning("the database does not answer", reason=str(getattr(error, "orig", None) or error)[:200])
        return Unavailable(en="the database does not answer")
    return error
