"""What the commands have in common: where the data is, and how they end."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from rollcall.broker import BrokerError
from rollcall.keys import DataFolderError
from rollcall.local import CannotStart
from shared.bus import BrokerUnreachable
from shared.errors import RollcallError

DATA = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
    help="Folder for everything that is kept.",
)  # fmt: skip
SHORTEST_PASSWORD = 8
"""characters"""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; every expected failure is one sentence and a non-zero exit."""
    try:
        asyncio.run(work)
    except (CannotStart, DataFolderError, BrokerError, BrokerUnreachable) as error:
        raise click.ClickException(str(error)) from None
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors(include_url=False))
        raise click.ClickException(problems) from None
    except RollcallError as error:
        raise click.ClickException(f"{error.en} ({error.zh})") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def run_now(work: Callable[[], None]) -> None:
    """As `run`, for what waits for nobody."""

    async def soon() -> None:
        work()

    run(soon())
