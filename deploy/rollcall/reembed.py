"""`rollcall reembed`: after the model changed, measure every registered photo again, while the system serves.

Each face changes in a transaction of its own, so whoever ends this half-way goes on later, and two at once only do
some work twice. It leaves at least half of one recognizer to the doors.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from rollcall.local import CannotStart
from rollcall.office import bus_of
from shared.bus import Bus
from shared.contracts.base import Command, ContractError, Message
from shared.contracts.library import ListOldFaces, OldFace, ReplaceEmbedding, StoredFace
from shared.contracts.moving import GetFaceCopy
from shared.contracts.recognition import GetModel, MeasureAgain
from shared.errors import Internal, InvalidInput, NotFound, RollcallError, Unavailable

PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
"""between the attempts of one question: a recognizer or a registry that fell over is back within them"""
TELL_EVERY_S: Final = 5.0
"""between two words about the progress"""

R = TypeVar("R", bound=Message)
Tell = Callable[[str], None]


class Progress:
    """What became of the faces. `tell` hears of each that cannot be measured, and of the others now and then."""

    def __init__(self, waiting: int, tell: Tell) -> None:
        self.measured, self.kept = 0, 0
        self._waiting, self._tell, self._told_at = waiting, tell, float("-inf")

    def done(self) -> None:
        self.measured += 1
        if time.monotonic() - self._told_at >= TELL_EVERY_S:
            self._told_at = time.monotonic()
            self._tell(f"{self.measured} of about {self._waiting} photos measured again")

    def left(self, face: OldFace, why: str) -> None:
        """The face stays as it is: registered, with its photo, but not recognised."""
        self.kept += 1
        self._tell(f"{face.group_id}/{face.user_id}: cannot be measured again: {why}")

    def __str__(self) -> str:
        left = f"; {self.kept} cannot be, and need a new photo" if self.kept else ""
        return f"{self.measured} photo(s) measured again{left}"


async def reembed(data: Path) -> None:
    """The command. Raises CannotStart when some could not be measured."""
    async with bus_of(data) as bus:
        progress = await measure_again(bus, lambda line: click.echo(f"  {line}", err=True))
    click.echo(f"{progress}.")
    if progress.kept:
        raise CannotStart("The photos above are kept, but nobody is recognised by them.")


async def in_background(data: Path, tell: Tell) -> None:
    """What `rollcall up` does beside everything else, if it is needed. Never raises: the system serves anyway."""
    try:
        async with bus_of(data) as bus:
            waiting = (await _insist(bus, GetModel())).waiting
            if not waiting:
                return
            tell(f"{waiting} photo(s) were measured by another model; measuring them again in the background")
            tell(f"{await measure_again(bus, tell)}")
    except (RollcallError, ContractError, CannotStart, OSError) as error:
        tell(f"photos still wait to be measured again ({error}): run `rollcall reembed`")


async def measure_again(bus: Bus, tell: Tell) -> Progress:
    """Every face that another model measured; those of the cloud are left alone. Raises Unavailable, and
    CannotStart if recognizers of several versions run."""
    model = await _insist(bus, GetModel())
    progress = Progress(model.waiting, tell)
    async for face in _old_faces(bus, model.model):
        began = time.monotonic()
        await _one(bus, face, model.model, progress)
        await asyncio.sleep(time.monotonic() - began)  # as long as it took: half of the recognizer's time is free
    return progress


async def _old_faces(bus: Bus, model: str) -> AsyncIterator[OldFace]:
    after = 0
    while page := (await _insist(bus, ListOldFaces(model=model, after=after))).faces:
        for face in page:
            yield face
        after = page[-1].face_id


async def _one(bus: Bus, face: OldFace, model: str, progress: Progress) -> None:
    try:
        copy = await _insist(bus, GetFaceCopy(app_id=face.app_id, face_id=face.face_id))
        if not copy.jpeg:
            progress.left(face, "its photo was not kept")
            return
        made = await _insist(bus, MeasureAgain(face=StoredFace(jpeg=copy.jpeg, box=copy.box)))
        if made.model != model:
            raise CannotStart("Recognizers of several versions run; try again when all are new.")
        await _insist(
            bus,
            ReplaceEmbedding(app_id=face.app_id, face_id=face.face_id, model=model, embedding=made.embedding),
        )
    except NotFound:
        return  # deleted meanwhile
    except (InvalidInput, Internal) as error:  # a damaged row must not keep the others waiting
        progress.left(face, error.en)
        return
    progress.done()


async def _insist(bus: Bus, command: Command[R]) -> R:
    """Ask again while nobody answers: services may start anew meanwhile. All that is asked here is safe to repeat.
    Raises what the service raises, and Unavailable in the end."""
    for pause_s in PAUSES_S:
        try:
            return await bus.ask(command)
        except Unavailable:
            await asyncio.sleep(pause_s)
    return await bus.ask(command)
