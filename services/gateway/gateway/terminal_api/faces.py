"""`getDbs` and `regFace`: a terminal's share of the library, its photos, and a new face for it."""

import base64
import hashlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from gateway.clockin import Enrolled, StudentForm
from gateway.terminal_api import parameters
from gateway.terminal_api.callers import Callers
from gateway.terminal_api.looking import Room, score
from gateway.terminal_api.reading import Sent
from gateway.terminal_api.refusals import refused
from shared.bus import Bus
from shared.codes import DeviceCode
from shared.contracts.devices import Device
from shared.contracts.people import Gender, GetPhoto, GetStudent
from shared.contracts.recognition import FaceResult
from shared.contracts.roster import MAX_ROSTER, GetRoster, RosterEntry, RosterPage
from shared.errors import NotAllowed
from shared.security import make_ticket, ticket_holds
from shared.vision.feature import MATCH, Feature
from shared.vision.picture import inspect

PHOTO_S: Final = 900
"""how long a picture's address is good for"""
MAX_WHOLE: Final = 20_000
"""names in an answer to a terminal that does not ask for pages: some 20 MB"""


class Enrols(Protocol):
    """What is needed of gateway.clockin.Recognition."""

    async def enrol(
        self, form: StudentForm, picture: bytes, accept: Callable[[FaceResult], None] = ...
    ) -> Enrolled: ...


class Faces:
    """Two calls and the photos' addresses. `class_name`, `gender`: of those registered without."""

    def __init__(
        self, bus: Bus, callers: Callers, recognition: Enrols, room: Room, secret: str, class_name: str, gender: Gender
    ) -> None:
        self._bus, self._callers, self._recognition, self._room = bus, callers, recognition, room
        self._secret, self._class_name, self._gender = secret, class_name, gender

    async def listed(self, sent: Sent) -> dict[str, Any]:
        """The names of the terminal's classes: all of them, or with `since` or `limit` a page of what changed."""
        (revision, mark), limit = parameters.cursor(sent), parameters.page(sent)
        in_pages = not sent.names.isdisjoint(("since", "limit"))
        device = await self._callers.admit(sent)
        since = revision if mark == mark_of(device) else 0
        page = await self._page(device, since, limit if in_pages else MAX_ROSTER)
        if page.revision < since:  # an older library was restored: nothing that the terminal has is sure
            since, page = 0, await self._page(device, 0, limit)
        entries, removed = list(page.entries), page.removed
        while not in_pages and page.revision < page.head and len(entries) < MAX_WHOLE:
            page = await self._page(device, page.revision, MAX_ROSTER)
            over = {*page.removed, *(entry.person.num for entry in page.entries)}
            entries = [entry for entry in entries if entry.person.num not in over] + list(page.entries)
        return {
            "Flag": "getdbs",
            "message": DeviceCode.SUCCESS.printed,
            "names": [self._name(sent.base, device, entry) for entry in entries],
            "removed": list(removed),
            "full": since == 0,
            "more": page.revision < page.head,
            "next": f"{page.revision}-{mark_of(device)}",
        }

    async def _page(self, device: Device, since: int, limit: int) -> RosterPage:
        return await self._bus.ask(GetRoster(classes=device.classes, since=since, limit=limit))

    def _name(self, base: str, device: Device, entry: RosterEntry) -> dict[str, Any]:
        person = entry.person
        newest, *others = (_base64(Feature(face.model, face.embedding)) for face in entry.faces)
        ticket = make_ticket(self._secret, _purpose(device.device_id, person.student_id), PHOTO_S)
        named = {
            "name": person.name,
            "username": person.num,
            "faceData": newest,
            "picUrl": f"{base}faces/api/photo/{device.device_id}/{person.student_id}?ticket={ticket}",
        }
        return {**named, "moreFaceData": others} if others else named

    async def photo(self, device_id: int, student_id: int, ticket: str) -> bytes:
        """The JPEG behind a `picUrl`. Raises NotAllowed, NotFound."""
        if not ticket_holds(self._secret, _purpose(device_id, student_id), ticket):
            raise NotAllowed("图片地址无效或已过期", "the address is not valid any more: get it again by getDbs")
        device = await self._callers.still_authorised(device_id)
        student = await self._bus.ask(GetStudent(student_id=student_id))
        _check_class(device, student.person.class_name)
        return (await self._bus.ask(GetPhoto(student_id=student_id))).jpeg

    async def register(self, sent: Sent) -> dict[str, Any]:
        """Student, photo and face in one. The picture counts: `faceData`, if sent, must be of the face in it. Raises 2,
        5, 9001, 9006, 9125, 69640–69642, 73730, 73731, 73733."""
        data, given = parameters.picture(sent, "picBase64"), parameters.optional_feature(sent, "faceData")
        parameters.student(sent, self._class_name, self._gender)  # what is wrong costs no token
        device = await self._callers.admit(sent)
        form = parameters.student(sent, self._usual_class(device), self._gender)
        _check_class(device, form.class_name)
        inspect(data)

        def accept(face: FaceResult) -> None:
            if given is not None and score(given, Feature(face.model, face.embedding)) < MATCH:
                raise refused(
                    DeviceCode.MATCH_FAILED, "faceData 与照片不符", "faceData is not of the face in the picture"
                )

        with self._room.place():
            await self._recognition.enrol(form, data, accept)
        return {}

    def _usual_class(self, device: Device) -> str:
        return device.classes[0] if len(device.classes) == 1 else self._class_name


def mark_of(device: Device) -> str:
    """8 hex characters that change with the device's classes: what it has of others must go."""
    return hashlib.sha256("\0".join(sorted(device.classes)).encode()).hexdigest()[:8]


def _purpose(device_id: int, student_id: int) -> str:
    return f"terminal photo {device_id} {student_id}"


def _base64(feature: Feature) -> str:
    """Empty for a face that only the cloud can compare."""
    return base64.b64encode(feature.packed()).decode() if feature.embedding else ""


def _check_class(device: Device, class_name: str) -> None:
    if device.classes and class_name not in device.classes:
        raise refused(DeviceCode.PERMISSION_DENIED, "该班级不属于本设备", "this device does not have that class")
