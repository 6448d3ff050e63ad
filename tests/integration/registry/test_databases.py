"""What the stores build on, on both databases: migrations, writers side by side, a database that is away."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from registry.store.database import Database, DatabaseUnusable, open_database
from registry.store.migrate import configuration, migrate
from registry.tables import Audit, OfficeAccount, Table
from shared.contracts.base import now
from shared.errors import Unavailable


@pytest.fixture
async def own_database(database_url: str) -> AsyncIterator[Database]:
    """A database of its own, for those who change its tables."""
    opened = open_database(database_url)
    await migrate(opened)
    yield opened
    await opened.close()


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, Table.metadata))


async def test_migrations_lead_to_the_tables(database: Database) -> None:
    async with database.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_the_way_back_leaves_nothing(own_database: Database) -> None:
    async with own_database.engine.execution_options(writes=True).connect() as connection:
        await connection.run_sync(lambda sync: command.downgrade(configuration(sync), "base"))
        await connection.commit()
    async with own_database.engine.connect() as connection:
        left = await connection.run_sync(lambda sync: set(Table.metadata.tables) & set(_tables(sync)))
    assert left == set()
    await migrate(own_database)


def _tables(connection: Connection) -> list[str]:
    found: list[str] = connection.dialect.get_table_names(connection)
    return found


async def test_processes_that_start_together_migrate_once(mysql_url: str) -> None:
    opened = [open_database(mysql_url) for _ in range(3)]
    await asyncio.gather(*map(migrate, opened))
    await asyncio.gather(*(one.close() for one in opened))


async def test_a_database_from_the_future_is_refused(own_database: Database) -> None:
    await own_database.write(lambda session: session.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(DatabaseUnusable, match=r"newer Rollcall \(revision 9999\)"):
        await migrate(own_database)


async def test_every_mysql_table_is_transactional_and_compares_by_code_point(mysql_url: str) -> None:
    database = open_database(mysql_url)
    await migrate(database)
    question = text(
        "SELECT DISTINCT engine, table_collation FROM information_schema.tables"
        " WHERE table_schema = DATABASE() AND table_name <> 'alembic_version'"
    )
    kinds = await database.read(lambda session: session.execute(question))
    assert [tuple(kind) for kind in kinds] == [("InnoDB", "utf8mb4_bin")]
    await database.close()


_count = update(OfficeAccount).values(password_id=OfficeAccount.password_id + 1)


async def _one_account(session: AsyncSession) -> None:
    await session.execute(insert(OfficeAccount).values(name="x", password_hash="", password_id=0, changed_at=now()))


async def _count_up(session: AsyncSession) -> int:
    await session.execute(_count)
    return (await session.execute(select(OfficeAccount.password_id))).scalar_one()


async def test_writers_side_by_side_lose_nothing(database: Database) -> None:
    await database.write(_one_account)
    counted = await asyncio.gather(*(database.write(_count_up) for _ in range(60)))
    assert sorted(counted) == list(range(1, 61))


async def _read_then_write(session: AsyncSession) -> None:
    """A transaction that began as a reader would have to fail in SQLite after somebody else's commit."""
    seen = await session.scalar(select(OfficeAccount.password_id).with_for_update())
    await session.execute(update(OfficeAccount).values(password_id=(seen or 0) + 1))


async def test_writers_who_read_first_lose_nothing(database: Database) -> None:
    await database.write(_one_account)
    await asyncio.gather(*(database.write(_read_then_write) for _ in range(30)))
    assert await database.read(lambda session: session.scalar(select(OfficeAccount.password_id))) == 30


async def test_two_processes_may_write_to_one_sqlite_file(tmp_path: Path) -> None:
    first, second = (open_database(f"sqlite:///{tmp_path / 'db'}") for _ in range(2))
    await migrate(first)
    await first.write(_one_account)
    await asyncio.gather(*(one.write(_read_then_write) for one in (first, second) for _ in range(15)))
    assert await second.read(lambda session: session.scalar(select(OfficeAccount.password_id))) == 30
    await first.close()
    await second.close()


async def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    await database.write(_one_account)
    inside, go = asyncio.Event(), asyncio.Event()

    async def slow(session: AsyncSession) -> None:
        await _count_up(session)
        inside.set()
        await go.wait()

    writing = asyncio.create_task(database.write(slow))
    await inside.wait()
    assert await database.read(lambda session: session.scalar(select(OfficeAccount.password_id))) == 0
    go.set()
    await writing
    assert await database.read(lambda session: session.scalar(select(OfficeAccount.password_id))) == 1


async def test_a_snapshot_sees_one_moment(database: Database) -> None:
    await database.write(_one_account)

    async def look_twice(session: AsyncSession) -> tuple[int | None, int | None]:
        before = await session.scalar(select(OfficeAccount.password_id))
        await database.write(_count_up)
        session.expire_all()
        return before, await session.scalar(select(OfficeAccount.password_id))

    assert await database.read(look_twice, snapshot=True) == (0, 0)


async def test_deadlocked_transactions_run_again(database: Database) -> None:
    for name in ("a", "b"):
        await database.write(
            lambda s, name=name: s.execute(  # type: ignore[misc]
                insert(OfficeAccount).values(name=name, password_hash="", password_id=0, changed_at=now())
            )
        )
    both_inside = asyncio.Barrier(2)
    runs: list[str] = []

    async def cross(session: AsyncSession, first: str, second: str) -> None:
        runs.append(first)
        await session.execute(
            update(OfficeAccount).where(OfficeAccount.name == first).values(password_id=OfficeAccount.password_id + 1)
        )
        if database.is_mysql and len(runs) <= 2:
            await both_inside.wait()
        await session.execute(
            update(OfficeAccount).where(OfficeAccount.name == second).values(password_id=OfficeAccount.password_id + 1)
        )

    await asyncio.gather(*(database.write(lambda s, p=p: cross(s, *p)) for p in (("a", "b"), ("b", "a"))))
    assert set(await database.read(lambda session: session.scalars(select(OfficeAccount.password_id)))) == {2}
    assert len(runs) == (3 if database.is_mysql else 2)


async def test_a_failed_transaction_leaves_nothing(database: Database) -> None:
    async def half(session: AsyncSession) -> None:
        session.add(Audit(at=now(), by="x", action="y", what="z"))
        await session.flush()
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await database.write(half)
    assert await database.read(lambda session: session.scalar(select(func.count(Audit.id)))) == 0


async def test_an_error_does_not_carry_what_was_written_into_a_log(database: Database) -> None:
    row = {"by": "x", "action": "y", "what": "张三的照片", "at": now(), "id": 1}
    with pytest.raises(IntegrityError) as caught:
        await database.write(lambda session: session.execute(insert(Audit), [row, row]))
    assert "张三" not in str(caught.value)


async def test_foreign_keys_hold(database: Database) -> None:
    orphan = text("INSERT INTO face_groups (app_id, group_id, created_at) VALUES (99, 'g', '2026-01-01')")
    with pytest.raises(IntegrityError):
        await database.write(lambda session: session.execute(orphan))


async def test_a_database_that_is_away_is_unavailable(tmp_path: Path) -> None:
    database = open_database("mysql://rollcall:secret@127.0.0.1:1/nowhere")
    for question in (database.ready(), database.write(_count_up)):
        with pytest.raises(Unavailable) as caught:
            await question
        assert "secret" not in str(caught.value)
    await database.close()


async def test_the_sqlite_file_is_private_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rollcall.db"
    database = open_database(f"sqlite:///{path}")
    await database.ready()
    assert path.stat().st_mode & 0o777 == 0o600
    await database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("not a url", "not a URL"),
        ("postgresql://u:secret@h/d", "postgresql is not supported"),
        ("sqlite:////proc/none/db", "cannot be written"),
    ],
)
def test_an_unusable_url_is_refused_in_one_sentence(url: str, says: str) -> None:
    with pytest.raises(DatabaseUnusable, match=says) as caught:
        open_database(url)
    assert "secret" not in str(caught.value)
