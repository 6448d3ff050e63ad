"""`python -m registry.migrate`: waits for the database, creates or upgrades its tables, and ends.

The registry does the same when it starts. This is for who wants it done, and its outcome seen, before anything else
of a new version runs.
"""

import asyncio

from registry.settings import RegistrySettings
from registry.store.database import DatabaseUnusable, open_database
from registry.store.migrate import migrate, wait_until_up
from shared.runtime import read_settings


async def bring_up_to_date(url: str) -> None:
    """Raises DatabaseUnusable."""
    database = open_database(url)
    try:
        await wait_until_up(database)
        await migrate(database)
    finally:
        await database.close()


if __name__ == "__main__":
    try:
        asyncio.run(bring_up_to_date(read_settings("migrate", RegistrySettings).database.get_secret_value()))
    except DatabaseUnusable as error:
        raise SystemExit(f"migrate: {error}") from None
