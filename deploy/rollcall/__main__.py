"""The command line."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from rollcall.broker import BrokerError
from rollcall.keys import DataFolderError
from rollcall.local import CannotStart, Options
from shared.bus import BrokerUnreachable
from shared.errors import RollcallError

DATA = click.option(
    "--data", type=click.Path(path_type=Path, file_okay=False), default=Path("data"), show_default=True,
    help="Folder for everything that is kept.",
)  # fmt: skip


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; every expected failure is one sentence and a non-zero exit."""
    try:
        asyncio.run(work)
    except (CannotStart, DataFolderError, BrokerError, BrokerUnreachable) as error:
        raise click.ClickException(str(error)) from None
    except RollcallError as error:
        raise click.ClickException(f"{error.en} ({error.zh})") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="rollcall")
def main() -> None:
    """Rollcall 人脸打卡: register once, be recognised by any camera, never lose a punch."""


@main.command()
@DATA
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65534), default=8000, show_default=True, help="Web port.")
@click.option("--hub-port", type=click.IntRange(0, 65535), default=0, help="Terminals' port.  [default: port + 1]")
@click.option("--recognizers", type=click.IntRange(1, 256), help="Processes.  [default: one per core less one]")
@click.option("--database", default="", help="mysql://user:password@host/name  [default: SQLite in --data]")
def up(data: Path, host: str, port: int, hub_port: int, recognizers: int | None, database: str) -> None:
    """Run the whole system on this machine until Ctrl-C."""
    from rollcall.up import up as run_up

    run(run_up(Options(data, host, port, hub_port, recognizers or 0, database)))


if __name__ == "__main__":
    main()
