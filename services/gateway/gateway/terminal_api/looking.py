"""`faceDetect`, `faceAge`, `faceGender`, `faceFeature`: what a picture shows; and `faceRecognize`, which needs none."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gateway.decoding import Decoding
from gateway.terminal_api import parameters
from gateway.terminal_api.callers import Callers
from gateway.terminal_api.reading import Sent
from gateway.terminal_api.refusals import of_problem, refused
from shared.codes import DeviceCode
from shared.contracts.devices import Device
from shared.contracts.recognition import NO_FACE, Ask, Box, FaceResult, Measured, Question, Result, Want
from shared.errors import Unavailable
from shared.vision.angles import angle_code
from shared.vision.feature import Feature, OtherModel
from shared.vision.picture import fit, inspect

MAX_FACES: Final = 120
"""of one picture: what a frame may be asked for"""
AT_ONCE: Final = 64
"""calls with pictures at once; behind more than these nobody is answered in time"""
GENDERS: Final = {"male": 0, "female": 1}
UNKNOWN_GENDER: Final = -1


class LooksOnce(Protocol):
    """What is needed of gateway.frames.Frames."""

    async def once(
        self, jpeg: bytes, *, place: str, want: Want, max_faces: int, question: Question | None = None
    ) -> Result: ...


class Room:
    """Places for calls with pictures."""

    def __init__(self, places: int = AT_ONCE) -> None:
        self._free = places

    @contextmanager
    def place(self) -> Iterator[None]:
        """Raises 8 when all are taken."""
        if not self._free:
            raise refused(DeviceCode.PAUSE, "系统繁忙，请稍后再试", "too many pictures at once")
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1


@dataclass(frozen=True, slots=True)
class Picture:
    """`jpeg` is what is looked at; width and height are the sent picture's, standing upright; `shrunk` leads from its
    pixels to the JPEG's."""

    jpeg: bytes
    width: int
    height: int
    shrunk: tuple[float, float]

    def inside(self, box: Box) -> Box:
        """A box of the sent picture, in the JPEG."""
        x, y = self.shrunk
        return Box(left=box.left * x, top=box.top * y, width=box.width * x, height=box.height * y)

    def corners(self, box: Box) -> dict[str, int]:
        """A box of the JPEG as the API prints it: whole pixels of the sent picture, cut off at its edges."""
        x, y = self.shrunk
        ends = {"left": box.left / x, "top": box.top / y}
        ends |= {"right": (box.left + box.width) / x, "bottom": (box.top + box.height) / y}
        room = {"left": self.width, "right": self.width, "top": self.height, "bottom": self.height}
        return {name: min(max(round(end), 0), room[name]) for name, end in ends.items()}


def open_picture(data: bytes) -> Picture:
    """Takes as long as decoding does. Raises a PictureError."""
    jpeg, sent = fit(data), inspect(data)
    small = inspect(jpeg)
    return Picture(jpeg, sent.width, sent.height, (small.width / sent.width, small.height / sent.height))


class Looking:
    """Five calls."""

    def __init__(self, callers: Callers, frames: LooksOnce, room: Room, decoding: Decoding) -> None:
        self._callers, self._frames, self._room, self._decoding = callers, frames, room, decoding

    async def detect(self, sent: Sent) -> dict[str, Any]:
        """All faces, largest first. Raises 9006 if there is none."""
        data = parameters.picture(sent, "image")
        picture, faces = await self._look(await self._callers.admit(sent), data, max_faces=MAX_FACES)
        content = [
            {"id": number, **picture.corners(face.box), "angle": angle_code(_measured(face).rotation)}
            for number, face in enumerate(faces)
        ]
        return {"faces": len(content), "faceContent": content}

    async def age(self, sent: Sent) -> dict[str, Any]:
        """Whole years. Raises 9006, 9123."""
        age = _measured(await self._the_face(sent, Ask.AGE)).age
        if age is None:
            raise refused(DeviceCode.AGE_FAILED, "无法判断年龄", "the face is covered, or turned away")
        return {"age": round(age)}

    async def gender(self, sent: Sent) -> dict[str, Any]:
        """0 male, 1 female, -1 not to be told. Raises 9006."""
        return {"gender": GENDERS.get(_measured(await self._the_face(sent, Ask.GENDER)).gender, UNKNOWN_GENDER)}

    async def feature(self, sent: Sent) -> dict[str, Any]:
        """`featureSize` is in bytes, before base64. Raises 9006, 9122."""
        face = await self._the_face(sent, Ask.EMBEDDING)
        if not face.embedding:
            raise refused(DeviceCode.FEATURE_FAILED, "无法提取特征", "no feature could be taken")
        packed = Feature(face.model, face.embedding).packed()
        return {"feature": base64.b64encode(packed).decode(), "featureSize": len(packed)}

    async def recognize(self, sent: Sent) -> dict[str, Any]:
        """0..1; 0.6 or more is a match. Raises 73731, 73733."""
        pending, original = (parameters.feature(sent, name) for name in ("pending", "original"))
        await self._callers.admit(sent)
        return {"score": round(score(pending, original), 6)}

    async def _the_face(self, sent: Sent, ask: Ask) -> FaceResult:
        """The one in the box."""
        box, data = parameters.box(sent), parameters.picture(sent, "image")
        picture, faces = await self._look(await self._callers.admit(sent), data, ask, at=box)
        if not faces[0].box.overlap(picture.inside(box)):
            raise refused(DeviceCode.NO_FACE, "框内没有人脸", "there is no face in the box")
        return faces[0]

    async def _look(
        self, device: Device, data: bytes, *ask: Ask, max_faces: int = 1, at: Box | None = None
    ) -> tuple[Picture, tuple[FaceResult, ...]]:
        """At least one face."""
        with self._room.place():
            picture = await self._decoding.run(open_picture, data)
            question = Question(ask=ask, at=picture.inside(at) if at else None)
            result = await self._frames.once(
                picture.jpeg, place=device.punches_at, want=Want.ANSWER, max_faces=max_faces, question=question
            )
        if not result.faces:
            raise of_problem(result.problem or NO_FACE)
        return picture, result.faces


def score(one: Feature, other: Feature) -> float:
    """Raises 73733."""
    try:
        return one.score(other)
    except OtherModel as error:
        raise refused(DeviceCode.FEATURE_LEVEL, "特征来自不同的模型", f"models {error}") from None


def _measured(face: FaceResult) -> Measured:
    if face.measured is None:
        raise Unavailable(en="the recognizer did not answer the question")
    return face.measured
