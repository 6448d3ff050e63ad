"""Break everything, for as long as one likes, and say what came of it.

    python -m tests.faults [--minutes 30] [--seed 1]

Prints a line for each fault, then what was compared. The same seed gives the same faults in the same order. As root,
the database has a small disk that is filled. Exits 1 when a promise was broken or something was back later than ten
seconds after what it needs; the services' log is kept then.
"""

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import click

from tests.faults.harness import (
    BACK_S,
    HEAD,
    Fault,
    Report,
    a_site,
    broker_away,
    broker_hung,
    broker_killed,
    database_away,
    database_hung,
    disk_full,
    hung,
    hung_beside_another,
    killed,
    run,
    stopped,
    summary,
    together,
)

SERVICES = ("gateway", "recognizer-1", "recognizer-2", "registry", "device-hub")


def everything(has_disk: bool) -> list[Fault]:
    """Each fault once."""
    faults = [make(service) for make in (killed, stopped) for service in SERVICES]
    faults += [hung(service, 15) for service in ("gateway", "registry", "device-hub")]
    faults += [hung_beside_another(15), broker_killed(), broker_hung(15), broker_away(30)]
    faults += [database_away(0), database_away(60), database_hung(20)]
    # A service that starts while what it needs is away.
    faults += [together(killed("registry"), database_away(20)), together(killed("gateway"), broker_away(15))]
    faults += [together(*(killed(service) for service in SERVICES), broker_killed(), database_away(0))]
    return [*faults, disk_full(30)] if has_disk else faults


def until(deadline: float, faults: list[Fault], dice: Random) -> Iterator[Fault]:
    """Round after round in a new order; the first round is whole however short the time."""
    first = True
    while first or time.monotonic() < deadline:
        for fault in dice.sample(faults, len(faults)):
            if first or time.monotonic() < deadline:
                yield fault
        first = False


async def long_run(minutes: float, seed: int, folder: Path) -> Report:
    """See above."""
    dice = Random(seed)
    with (folder / "services.log").open("w") as log, contextlib.redirect_stdout(log):
        async with a_site(folder / "data", dice) as site:
            if site.disk is None:
                click.echo("No disk of its own for the database (mount needs root): it is not filled.", err=True)
            faults = until(time.monotonic() + 60 * minutes, everything(site.disk is not None), dice)
            return await run(site, faults, dice, lambda line: click.echo(line, err=True))


@click.command(help=__doc__)
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(minutes: float, seed: int) -> None:
    """Command line."""
    click.echo(HEAD, err=True)
    folder = Path(tempfile.mkdtemp(prefix="rollcall-faults-"))
    report = asyncio.run(long_run(minutes, seed, folder))
    click.echo(summary(report))
    late = [recovery for recovery in report.recoveries if recovery.back_s > BACK_S]
    for recovery in late:
        click.echo(f"- late: {recovery.fault}, {recovery.back_s:.1f} s")
    if late or report.violations:
        click.echo(f"The services' log: {folder / 'services.log'}")
        raise SystemExit(1)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
