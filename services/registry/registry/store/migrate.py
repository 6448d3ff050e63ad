"""Bringing the database to the newest revision, at every start and under a lock."""

import asyncio
from pathlib import Path

import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from registry.store.database import Database, DatabaseUnusable
from shared.errors import Unavailable

PATIENCE_S = 30.0
"""How long a start waits for a database that is not up yet, in seconds."""

log = structlog.get_logger("migrate")


async def migrate(database: Database) -> None:
    """Create or upgrade all tables. Raises DatabaseUnusable when a newer program made them."""
    async with database.exclusive("migrate") as connection:
        if not database.is_mysql:
            await connection.execution_options(writes=True)
        await connection.run_sync(_upgrade)
        await connection.commit()


async def wait_until_up(database: Database) -> None:
    """Wait for a database that is just starting. Raises DatabaseUnusable after PATIENCE_S."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _answers(database):
                await asyncio.sleep(0.5)
    except TimeoutError:
        where = database.engine.url.render_as_string(hide_password=True)
        raise DatabaseUnusable(f"the database {where} did not answer within {PATIENCE_S:.0f} s") from None


async def _answers(database: Database) -> bool:
    try:
        await database.ready()
    except Unavailable:
        return False
    return True


def configuration(connection: Connection) -> Config:
    """Alembic's configuration, in memory; `migrations/env.py` takes the connection from it."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    config = configuration(connection)
    script = ScriptDirectory.from_config(config)
    known = {revision.revision for revision in script.walk_revisions()}
    present = set(MigrationContext.configure(connection).get_current_heads())
    if present - known:
        raise DatabaseUnusable(
            f"the database was made by a newer Rollcall (revision {', '.join(present - known)}): upgrade this program"
        )
    if present == set(script.get_heads()):
        return
    command.upgrade(config, "head")
    log.info("database upgraded", to=script.get_current_head())
