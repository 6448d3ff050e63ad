"""Whole face libraries in and out: `rollcall export`, `rollcall import`, `rollcall import-baidu`."""

import asyncio
import csv
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import httpx
from pydantic import SecretStr

from rollcall.archive import ArchiveError, FaceLine, Reader, StudentLine, UserLine, Writer, reading, writing
from rollcall.local import CannotStart
from rollcall.office import BY, bus_of, need_running
from rollcall.running import Running
from shared.baidu.client import PAGE, Cloud, CloudSettings, open_cloud
from shared.baidu.replies import FACE_EXISTS, GROUP_EXISTS
from shared.bus import Bus
from shared.contracts.library import (
    DEFAULT_APP,
    MAX_FACES,
    MAX_PAGE,
    STUDENTS_GROUP,
    AddGroup,
    CreateKey,
    EnrolledFace,
    FaceAction,
    ListGroups,
    PutFace,
    RevokeKey,
)
from shared.contracts.moving import CopyUsers, FaceName, GetFaceCopy, UserCopy
from shared.contracts.people import Gender, RegisterStudent
from shared.errors import CloudRefused, Conflict, Refused
from shared.vision.picture import PictureError, fit

USERS_A_PART: Final = 200
AT_ONCE: Final = 8
"""users whose faces are fetched at the same time"""
TELL_EVERY: Final = 500
"""users between two words about the progress"""
CLOUD_S: Final = 30.0
"""longest wait for one call of either library, in seconds"""
OWN_QPS: Final = 200.0
"""calls per second to our own gateway, which has a limit of its own"""
ID: Final = re.compile(r"[0-9A-Za-z_]{1,128}")
"""what a user or a group is called, here and there"""
PHOTOS: Final = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}

Ask = Callable[[], str]
"""Asks the operator for a passphrase."""


# ---- export


async def export(data: Path, path: Path, app: str, passphrase: str | None) -> None:
    """All groups, users, infos, photos and embeddings of an app into one new file, whole or not at all. Keys and
    passwords are no part of it."""
    try:
        with writing(path, app, passphrase) as writer:
            async with bus_of(data) as bus:
                await _export(bus, writer, app)
            made = writer.finish()
    except ArchiveError as error:
        raise CannotStart(f"{error}.") from None
    click.echo(f"{path}: {made.groups} group(s), {made.users} user(s), {made.faces} face(s), {made.photos} photo(s).")


async def _export(bus: Bus, writer: Writer, app: str) -> None:
    first = await bus.ask(CopyUsers(app=app, limit=1))
    start = 0
    while groups := (await bus.ask(ListGroups(app_id=first.app_id, start=start, length=MAX_PAGE))).ids:
        writer.groups(groups)
        start += len(groups)
    progress, after = Progress("exported"), 0
    while page := (await bus.ask(CopyUsers(app=app, after=after, limit=USERS_A_PART))).users:
        room = asyncio.Semaphore(AT_ONCE)
        writer.users(await asyncio.gather(*(_user_line(bus, writer, first.app_id, user, room) for user in page)))
        after = page[-1].row
        progress.add(len(page))


async def _user_line(bus: Bus, writer: Writer, app_id: int, user: UserCopy, room: asyncio.Semaphore) -> UserLine:
    person = user.person
    student = None
    if person is not None:
        student = StudentLine(num=person.num, name=person.name, class_name=person.class_name, gender=person.gender)
    async with room:
        faces = [await _face_line(bus, writer, app_id, face) for face in user.faces]
    return UserLine(
        group_id=user.group_id, user_id=user.user_id, user_info=user.user_info, student=student, faces=tuple(faces)
    )


async def _face_line(bus: Bus, writer: Writer, app_id: int, name: FaceName) -> FaceLine:
    face = await bus.ask(GetFaceCopy(app_id=app_id, face_id=name.face_id))
    return FaceLine.model_construct(
        token=face.token,
        model=face.model,
        embedding=face.embedding,
        box=face.box,
        photo=writer.photo(face.jpeg) if face.jpeg else "",
        created_at=face.created_at,
    )


# ---- import


async def import_file(data: Path, path: Path, app: str, ask: Ask) -> None:
    """Everything of the file into an app, one after another, so that users keep their order. What is there already
    stays: an import that was cut off is simply begun again. Raises CannotStart at the end if anything could not be
    taken in."""
    try:
        with reading(path) as reader:
            if reader.is_sealed:
                reader.unlock(ask())
            async with bus_of(data) as bus:
                tally = await _import(bus, reader, app)
    except ArchiveError as error:
        raise CannotStart(f"{path}: {error}.") from None
    click.echo(str(tally))
    if tally.refused:
        raise CannotStart(f"{len(tally.refused)} could not be taken in; the list is above.")


@dataclass
class Tally:
    """What became of users and faces."""

    done: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)

    def refuse(self, whose: str, why: str) -> None:
        click.echo(f"  {whose}: {why}", err=True)
        self.refused.append(whose)

    def __str__(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in sorted(self.done.items())) or "nothing to do"


class Progress:
    """Says every TELL_EVERY users how many there were."""

    def __init__(self, done: str) -> None:
        self._done, self._count, self._next = done, 0, TELL_EVERY

    def add(self, count: int = 1) -> None:
        self._count += count
        if self._count >= self._next:
            self._next = self._count + TELL_EVERY
            click.echo(f"  {self._count} users {self._done}", err=True)


async def _import(bus: Bus, reader: Reader, app: str) -> Tally:
    app_id = (await bus.ask(CopyUsers(app=app, limit=1))).app_id
    tally, progress = Tally(), Progress("taken in")
    for group in reader.groups():
        await _add_group(bus, app_id, group, tally)
    into = Into(bus, reader, app, app_id, tally)
    seen = 0
    for line in reader.users():
        await into.take(line)
        progress.add()
        seen += 1
    if seen != reader.manifest.users:
        raise ArchiveError(f"the file holds {seen} users and should hold {reader.manifest.users}")
    return tally


async def _add_group(bus: Bus, app_id: int, group: str, tally: Tally) -> None:
    try:
        await bus.ask(AddGroup(app_id=app_id, group_id=group))
        tally.done["groups added"] += 1
    except Conflict:
        tally.done["groups there already"] += 1


@dataclass(frozen=True, slots=True)
class Into:
    """An app that users are taken into."""

    bus: Bus
    reader: Reader
    app: str
    app_id: int
    tally: Tally

    async def take(self, line: UserLine) -> None:
        """One user with all faces; a refusal is noted, and the next user comes."""
        faces = [face for face in map(self.reader.enrolled, line.faces) if face is not None]
        if len(faces) < len(line.faces):
            self.tally.done["faces left out: no photo"] += len(line.faces) - len(faces)
        try:
            if line.student is not None and faces and self._is_school(line) and await self._student(line, faces[0]):
                faces = faces[1:]
            for face in faces:
                await self._face(line, face, FaceAction.APPEND)
        except Refused as error:
            self.tally.refuse(f"{line.group_id}/{line.user_id}", error.en)

    def _is_school(self, line: UserLine) -> bool:
        return self.app == DEFAULT_APP and line.group_id == STUDENTS_GROUP

    async def _student(self, line: UserLine, face: EnrolledFace) -> bool:
        """Register the student with the first face; False if this very student is there. Raises Conflict if somebody
        else has the number or the photo."""
        fields = StudentLine.model_validate(line.student).model_dump()
        request_id = hashlib.sha256(f"{self.reader.manifest.archive_id}/{fields['num']}".encode()).hexdigest()[:32]
        before = (await self.bus.ask(CopyUsers(group_id=STUDENTS_GROUP, user_id=fields["num"]))).users
        if before:
            return self._same(before[0], fields["name"])
        await self.bus.ask(RegisterStudent(request_id=request_id, face=face, **fields))
        self.tally.done["students"] += 1
        if line.user_info:
            await self._face(line, face, FaceAction.REPLACE)  # a registration has no room for the text
        else:
            self.tally.done["faces"] += 1
        return True

    def _same(self, user: UserCopy, name: str) -> bool:
        """A number that is taken must be this very student's: one's face must not become another's."""
        if user.person is None or user.person.name != name:
            raise Conflict("学号属于另一名学员", "the number belongs to another student")
        self.tally.done["students there already"] += 1
        return False

    async def _face(self, line: UserLine, face: EnrolledFace, action: FaceAction) -> None:
        put = PutFace(
            app_id=self.app_id,
            group_id=line.group_id,
            user_id=line.user_id,
            user_info=line.user_info,
            action=action,
            face=face,
        )
        try:
            await self.bus.ask(put)
            self.tally.done["faces"] += 1
        except Conflict as error:
            if error.number != FACE_EXISTS:
                raise
            self.tally.done["faces there already"] += 1


# ---- out of Baidu


@dataclass(frozen=True, slots=True)
class FromBaidu:
    """What to move: `groups` (none: all), into our app `app`. `students` is a CSV file with the columns
    user_id, name, class, gender: who stands in it is registered as a student."""

    cloud: CloudSettings
    groups: tuple[str, ...]
    app: str
    photos: Path | None = None
    students: Path | None = None
    report: Path | None = None


async def import_baidu(data: Path, asked: FromBaidu) -> None:
    """Users and their infos are read from Baidu; faces it never gives back, so they come from the photos at hand,
    through our own API. A user without a photo cannot be moved, and is listed. To begin again is safe."""
    running = need_running(data)
    students = _students(asked.students) if asked.students else {}
    rows: list[tuple[str, str, str]] = []
    async with (
        open_cloud(asked.cloud) as source,
        bus_of(data) as bus,
        _own_library(bus, running, asked.app) as own,
        httpx.AsyncClient(base_url=running.url, timeout=CLOUD_S, trust_env=False) as web,
    ):
        move = Move(source, own, bus, web, asked.photos, students, Progress("read"))
        for group in asked.groups or await _all_groups(source):
            rows += [(group, user, became) async for user, became in move.group(group)]
    if asked.report:
        _write_report(asked.report, rows)
    for became, count in Counter(became.split(":")[0] for _, _, became in rows).most_common():
        click.echo(f"{count:>8}  {became}")


@asynccontextmanager
async def _own_library(bus: Bus, running: Running, app: str) -> AsyncIterator[Cloud]:
    """Our own API as the client of Baidu's sees it, with a key for the time being."""
    issued = await bus.ask(CreateKey(name=app, by=BY))
    settings = CloudSettings(
        api_key=SecretStr(issued.key.api_key),
        secret_key=issued.secret_key,
        url=running.url,
        qps=OWN_QPS,
        call_s=CLOUD_S,
        quality="NONE",
        liveness="NONE",
    )
    try:
        async with open_cloud(settings) as own:
            yield own
    finally:
        await bus.ask(RevokeKey(api_key=issued.key.api_key, by=BY))


async def _all_groups(source: Cloud) -> list[str]:
    groups: list[str] = []
    while page := await source.groups(len(groups), within=CLOUD_S):
        groups += page
        if len(page) < PAGE:
            break
    return groups


@dataclass(frozen=True, slots=True)
class Move:
    """One move out of Baidu's library `source` into `own`."""

    source: Cloud
    own: Cloud
    bus: Bus
    web: httpx.AsyncClient
    photos: Path | None
    students: dict[str, StudentLine]
    progress: Progress

    async def group(self, group: str) -> AsyncIterator[tuple[str, str]]:
        """Every user of a group, and what became of it."""
        try:
            await self.own.add_group(group, within=CLOUD_S)
        except CloudRefused as error:
            if error.number != GROUP_EXISTS:
                raise
        async for user in _users(self.source, group):
            yield user, await self._user(group, user)
            self.progress.add()

    async def _user(self, group: str, user: str) -> str:
        photos = _photos(self.photos, user)
        if not photos:
            return "no photo at hand"
        try:
            pictures = [await asyncio.to_thread(_picture, path) for path in photos]
            if user in self.students:
                return await self._register(self.students[user], pictures)
            info = await self.source.user_info(group, user, within=CLOUD_S)
            added = [await self._add(group, user, info, jpeg) for jpeg in pictures]
        except (CloudRefused, PictureError) as error:
            return f"refused: {error.en}"
        return "moved" if any(added) else "there already"

    async def _add(self, group: str, user: str, info: str, jpeg: bytes) -> bool:
        """False: this photo was there. Raises CloudRefused."""
        try:
            await self.own.add(jpeg, group, user, info, within=CLOUD_S)
        except CloudRefused as error:
            if error.number != FACE_EXISTS:
                raise
            return False
        return True

    async def _register(self, student: StudentLine, pictures: list[bytes]) -> str:
        """Through the form, as the student would; further photos through the API. Consent was asked on paper."""
        if (await self.bus.ask(CopyUsers(group_id=STUDENTS_GROUP, user_id=student.num))).users:
            return "there already: the number is a student's"
        form = {"stu_name": student.name, "stu_class": student.class_name, "stu_num": student.num}
        form |= {"gender": student.gender.value, "consent": "yes"}
        answer = await self.web.post("/register", data=form, files={"photo": ("photo.jpg", pictures[0])})
        if answer.status_code != 303:
            return "refused: the registration does not take it (the photo, the class, or no consent to the cloud)"
        for jpeg in pictures[1:]:
            await self._add(STUDENTS_GROUP, student.num, "", jpeg)
        return "registered as a student"


async def _users(source: Cloud, group: str) -> AsyncIterator[str]:
    start = 0
    while page := await source.users(group, start, within=CLOUD_S):
        for user in page:
            yield user
        start += len(page)
        if len(page) < PAGE:
            return


def _photos(folder: Path | None, user: str) -> list[Path]:
    """`folder`/user.jpg, or all in `folder`/user/, by name, as many as a user may have. The name of a user is what the
    other side says, so one that is no id has none: it could lead out of the folder."""
    if folder is None or not ID.fullmatch(user):
        return []
    single = [path for path in (folder / f"{user}{suffix}" for suffix in sorted(PHOTOS)) if path.is_file()]
    inside = folder / user
    several = sorted(p for p in inside.iterdir() if p.suffix.lower() in PHOTOS) if inside.is_dir() else []
    return (single + several)[:MAX_FACES]


def _picture(path: Path) -> bytes:
    """As JPEG of a bounded size. Raises PictureError."""
    return fit(path.read_bytes())


def _students(path: Path) -> dict[str, StudentLine]:
    """user_id → student. Raises CannotStart."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        return {
            row["user_id"]: StudentLine(
                num=row["user_id"], name=row["name"], class_name=row["class"], gender=Gender(row["gender"])
            )
            for row in rows
        }
    except (OSError, UnicodeError, csv.Error, KeyError, ValueError, TypeError) as error:
        raise CannotStart(
            f"{path} cannot be used ({type(error).__name__}): it needs the columns user_id, name, class and gender "
            "(MAN or WOMAN), in UTF-8."
        ) from None


def _write_report(path: Path, rows: list[tuple[str, str, str]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("group", "user", "result"))
        writer.writerows((_plain(group), _plain(user), result) for group, user, result in rows)


def _plain(name: str) -> str:
    """What is no id is quoted: a spreadsheet would run one that begins with `=`."""
    return name if ID.fullmatch(name) else ascii(name)
