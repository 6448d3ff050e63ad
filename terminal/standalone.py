"""One box without a server: register, recognise and keep everything here; join a server later.

FOLDER/key          seals the rest, and is sealed by the device's secret or a key file
FOLDER/own          who was registered here        FOLDER/photos/    their photos, for the server later
FOLDER/library      the server's, once there is one
FOLDER/punches.db   what was recorded here, until the server has it
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from pydantic import BaseModel, ValidationError

from shared.codes import DeviceCode
from shared.contracts.people import StudentName, StudentNumber
from shared.security import Vault, WrongKey
from shared.vision.engine import FaceEngine
from shared.vision.feature import MATCH, Feature, OtherModel
from terminal.door import Door
from terminal.events import CardAnswer
from terminal.gate import Watch
from terminal.library import Known, Library
from terminal.offline import Eye, EyeSettings, NotFit, People, engine, enrol
from terminal.offline_cards import keep_card
from terminal.program import Recognise, Recogniser
from terminal.punches import PunchStore, Stored, StoreFull
from terminal.reserve import Reserve
from terminal.roster import Refused, Token, call, update
from terminal.sealing import open_vault, write_whole

MAX_PHOTO: Final = 10_000_000
"""bytes, as the terminal API takes"""


class CannotRegister(Exception):
    """Somebody was not registered; the message says why."""


class _Form(BaseModel):
    num: StudentNumber
    name: StudentName
    class_name: StudentName


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of one person when the box joined a server. `problem` empty: the server has them."""

    num: str
    name: str
    problem: str = ""
    released: int = 0
    """punches that wait to be sent now"""


class Box:
    """What is kept in a folder. Two programs may have it open: one registers, one recognises."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        """Raises CannotOpen."""
        self._folder = folder
        self._vault: Vault = open_vault(folder, secret)
        self.own = Library(folder / "own", self._vault)
        self.library = Library(folder / "library", self._vault)
        self.punches = PunchStore(folder / "punches.db", self._vault)

    def people(self, model: str) -> People:
        """Everybody who can be recognised."""
        return People(model, self.library, self.own)

    def register(self, faces: FaceEngine, photo: bytes, num: str, name: str, class_name: str) -> Known:
        """Somebody new, on the disk when this returns. Raises CannotRegister, CannotOpen."""
        try:
            form = _Form(num=num, name=name, class_name=class_name)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise CannotRegister(f"{first['loc'][0]}: {first['msg']}") from None
        if len(photo) > MAX_PHOTO:
            raise CannotRegister(f"the photo has more than {MAX_PHOTO // 1_000_000} MB")
        for library in (self.own, self.library):
            if form.num in library.people:
                raise CannotRegister(f"{form.num} is {library.people[form.num].name} already")
        try:
            feature, twice = enrol(faces, self.people(faces.model_id), photo)
        except NotFit as error:
            raise CannotRegister(str(error)) from None
        if twice is not None:
            raise CannotRegister(f"this face is registered already: {twice.known.name} ({twice.known.num})")
        known = Known(form.num, form.name, (feature,), form.class_name)
        path = self._photo(form.num)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_whole(path, self._vault.seal(photo, f"photo {form.num}"))
        self.own.put(known)
        return known

    def remove(self, num: str) -> Known | None:
        """Forget somebody who was registered here, face and photo; their punches stay. None: nobody has the number."""
        known = self.own.people.get(num)
        self.own.remove(num)
        self._photo(num).unlink(missing_ok=True)
        return known

    def photo(self, num: str) -> bytes:
        """As it was registered. Raises CannotRegister."""
        try:
            return self._vault.open(self._photo(num).read_bytes(), f"photo {num}")
        except (OSError, WrongKey):
            raise CannotRegister("the photo is gone or damaged: register this person at the server") from None

    def _photo(self, num: str) -> Path:
        return self._folder / "photos" / hashlib.sha256(num.encode()).hexdigest()[:32]

    @asynccontextmanager
    async def reserve(self, settings: EyeSettings) -> AsyncIterator[Reserve]:
        """With an eye, its networks loaded, while inside. Raises a WeightError."""
        with contextlib.suppress(StoreFull):  # then they are held until the next start
            self.release_joined()
        async with engine(settings.threads) as (faces, thread):
            eye = Eye(faces, thread, self.people(faces.model_id), self.punches, settings)
            yield Reserve(self.library, self.punches, eye, self.own)

    def release_joined(self) -> int:
        """Let punches go that are held although the server knows their owner by now, under the same number and name:
        an eye that ran beside `join` may have made one before it saw that. How many."""
        theirs = {num: known.name for num, known in self.library.people.items() if num not in self.own.people}
        return self.punches.release(lambda punch: theirs.get(punch.num) == punch.name)

    def close(self) -> None:
        self.punches.close()


@contextmanager
def open_box(folder: Path, secret: bytes) -> Iterator[Box]:
    """Raises CannotOpen."""
    box = Box(folder, secret)
    try:
        yield box
    finally:
        box.close()


def by_itself(reserve: Reserve) -> Recognise:
    """Standalone mode: this terminal recognises, by its own clock, and a card is good if its number is a student's."""

    def now() -> datetime:
        return datetime.now(UTC)

    def recognise(door: Door, watch: Watch | None) -> Recogniser:
        async def run() -> None:
            if watch is None or reserve.eye is None:
                await asyncio.Event().wait()
            else:
                await reserve.eye.run(watch.frame, door.hear, now)

        async def present(card: str) -> CardAnswer:
            return await keep_card(reserve, card, now())

        return Recogniser(run, present, now)

    return recognise


# ---- joining a server


async def join(
    http: httpx.AsyncClient, api: str, token: Token, box: Box, tell: Callable[[Joined], None]
) -> tuple[int, int]:
    """Bring everybody who was registered here to the server, one after another; (joined, not joined). Whoever the
    server does not take stays here with photo and punches, and is tried again by joining again.

    Raises Ended (the server does not let this terminal in), httpx.HTTPError; what was done before stands.
    """
    joined, refused = set[str](), 0
    await update(http, api, token, box.library)
    for known in list(box.own.people.values()):
        problem = await _bring(http, api, token, box, known)
        released = 0
        if not problem:
            joined.add(known.num)
            released = box.punches.release(_of({known.num}))
            box.remove(known.num)
        refused += bool(problem)
        tell(Joined(known.num, known.name, problem, released))
    await update(http, api, token, box.library)
    # An eye that runs beside this may have held one more, until it saw that its owner has joined.
    box.punches.release(_of(joined))
    return len(joined), refused


def _of(nums: Container[str]) -> Callable[[Stored], bool]:
    return lambda punch: punch.num in nums


async def _bring(http: httpx.AsyncClient, api: str, token: Token, box: Box, known: Known) -> str:
    """Why not; empty if the server has them now, or had them already: the same number, name and face."""
    theirs = box.library.people.get(known.num)
    if theirs is not None:
        if theirs.name == known.name and _alike(known, theirs):
            return ""
        return f"the server knows {known.num} as {theirs.name}: ask the office for another number"
    try:
        picture = base64.b64encode(box.photo(known.num)).decode()
        form = {"username": known.num, "faceName": known.name, "className": known.class_name, "picBase64": picture}
        await call(http, api, token, "regFace", form)
    except CannotRegister as error:
        return str(error)
    except Refused as error:
        if error.code == DeviceCode.BAD_STATE:
            return f"the number or the face belongs to somebody at the server already ({error})"
        return str(error)
    return ""


def _alike(one: Known, other: Known) -> bool:
    return any(_score(mine, theirs) >= MATCH for mine in one.features for theirs in other.features)


def _score(one: bytes, other: bytes) -> float:
    try:
        return Feature.unpacked(one).score(Feature.unpacked(other))
    except OtherModel:
        return 0.0
