"""`rollcall baidu reconcile`: where the cloud and the registry differ, and, if asked, the cloud made equal."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import click

from rollcall.office import bus_of
from shared.baidu.client import PAGE, Cloud, CloudSettings, open_cloud
from shared.baidu.replies import GROUP_MISSING
from shared.baidu.twin import OURS, PATIENCE_S, Truth, drop_user, make_equal, tokens_of, truth_of
from shared.bus import Bus
from shared.contracts.library import STUDENTS_GROUP
from shared.contracts.moving import CopyUsers
from shared.errors import CloudRefused

GRACE_S: Final = 20.0
"""A face that is in the cloud only may belong to a registration in this very moment: longer than one takes, in
seconds."""


class Difference(StrEnum):
    """What may be wrong with a student number."""

    ORPHAN = "in the cloud only, left by a registration that did not end"
    FOREIGN = "in the cloud only, not made by Rollcall"
    MISSING = "not in the cloud"
    DIFFERENT = "other faces in the cloud than here"


@dataclass(frozen=True, slots=True)
class Options:
    """`apply`: mend. `upload`: also send photos that were never in the cloud, for which consent must be there.
    `foreign`: also change and delete users that Rollcall did not make. `grace_s`: see GRACE_S."""

    group: str = STUDENTS_GROUP
    apply: bool = False
    upload: bool = False
    foreign: bool = False
    grace_s: float = GRACE_S


async def reconcile(data: Path, settings: CloudSettings, options: Options) -> None:
    """Print every difference; with `apply`, what became of it. A dry run changes nothing, neither here nor there."""
    async with bus_of(data) as bus, open_cloud(settings) as cloud:
        found = [pair async for pair in differences(bus, cloud, options.group)]
        if options.apply and any(kind is Difference.ORPHAN for _, kind in found):
            click.echo(f"waiting {options.grace_s:.0f} s for registrations under way", err=True)
            await asyncio.sleep(options.grace_s)
        for num, kind in found:
            became = await _mend(bus, cloud, num, kind, options) if options.apply else ""
            click.echo(f"{num:24}  {kind.value}{': ' if became else ''}{became}")
    count = Counter(kind for _, kind in found)
    click.echo(", ".join(f"{n} × {kind.value}" for kind, n in count.items()) or "The cloud and the registry agree.")
    if found and not options.apply:
        click.echo("Nothing was changed; --apply makes the cloud equal to the registry.")


async def differences(bus: Bus, cloud: Cloud, group: str) -> AsyncIterator[tuple[str, Difference]]:
    """(student number, what is wrong), students first; one call to the cloud for each student there."""
    there = await _in_cloud(cloud, group)
    known: set[str] = set()
    async for num, truth in _students(bus):
        known.add(num)
        if num not in there:
            yield num, Difference.MISSING
        elif await tokens_of(cloud, group, num) != set(truth.faces):
            yield num, Difference.DIFFERENT
    for num in sorted(there - known):
        info = await cloud.user_info(group, num, within=PATIENCE_S)
        yield num, Difference.ORPHAN if info == OURS else Difference.FOREIGN


async def _in_cloud(cloud: Cloud, group: str) -> set[str]:
    found: set[str] = set()
    start = 0
    try:
        while page := await cloud.users(group, start, within=PATIENCE_S):
            found |= set(page)
            start += len(page)
            if len(page) < PAGE:
                break
    except CloudRefused as error:
        if error.number != GROUP_MISSING:
            raise
    return found


async def _students(bus: Bus) -> AsyncIterator[tuple[str, Truth]]:
    after = 0
    while page := await bus.ask(CopyUsers(group_id=STUDENTS_GROUP, after=after)):
        if not page.users:
            return
        for user in page.users:
            yield user.user_id, Truth(page.app_id, {face.token: face.face_id for face in user.faces})
        after = page.users[-1].row


async def _mend(bus: Bus, cloud: Cloud, num: str, kind: Difference, options: Options) -> str:
    """What became of it; the registry is asked anew, for it may have changed since."""
    truth = await truth_of(bus, num)
    if kind in (Difference.ORPHAN, Difference.FOREIGN):
        if truth.faces:
            return "registered meanwhile"
        if kind is Difference.FOREIGN and not options.foreign:
            return "left; --foreign deletes it"
        await drop_user(cloud, options.group, num)
        return "deleted there"
    try:
        mended = await make_equal(bus, cloud, options.group, num, truth, upload=options.upload, foreign=options.foreign)
    except CloudRefused as error:
        return f"left: {error.en}"
    return "mended" if mended else "left: its photos were never there; --upload sends them, if the people agreed"
