"""Asking the recognizers about pictures: every picture is a source with one frame (docs/adr/0002-turns.md)."""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from gateway.baidu_api.loose_faces import LooseFaces
from gateway.baidu_api.parameters import Image
from gateway.baidu_api.pictures import Picture, Pictures
from gateway.baidu_api.refusals import refused
from gateway.baidu_api.shapes import Scale
from shared.codes import FaceCode
from shared.contracts.library import App, StoredFace
from shared.contracts.recognition import (
    NO_FACE,
    Ask,
    FaceResult,
    Hunt,
    Measured,
    Order,
    Question,
    Result,
    Want,
)
from shared.errors import Unavailable

PLACE: Final = "api"
AT_ONCE: Final = 64
"""calls with pictures at once; each may hold 16 MB, and behind more than these nobody is answered in time"""
RANKED: Final = 20
"""faces that are looked at to tell which is the largest, where another one comes first"""

T = TypeVar("T")


class LooksOnce(Protocol):
    """What is needed of gateway.frames.Frames."""

    async def once(
        self,
        jpeg: bytes,
        *,
        place: str,
        want: Want,
        max_faces: int,
        question: Question | None = None,
        pictures: int = 1,
    ) -> Result: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What to find out of a picture."""

    ask: Iterable[Ask] = ()
    order: Order = Order.LARGEST
    max_faces: int = 1
    hunt: Hunt | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A face that was found."""

    token: str
    result: FaceResult
    measured: Measured
    scale: Scale
    picture: Picture


class Vision:
    """Looks at pictures for an app."""

    def __init__(self, frames: LooksOnce, pictures: Pictures, loose: LooseFaces) -> None:
        self._frames, self._pictures, self._loose = frames, pictures, loose
        self._busy = 0

    async def look(self, app: App, image: Image, wish: Wish, *, pictures: int = 1) -> list[Seen]:
        """The faces in the order wished for, at least one; `pictures` are looked at side by side. Raises 222202, 4,
        Unavailable and what `Pictures.open` raises."""
        if self._busy >= AT_ONCE:
            raise refused(FaceCode.REQUEST_LIMIT)
        self._busy += 1
        try:
            picture = await self._pictures.open(app, image)
            result = await self._frames.once(
                picture.jpeg,
                place=PLACE,
                want=Want.ANSWER,
                max_faces=_to_find(wish),
                pictures=pictures,
                question=Question(ask=tuple(dict.fromkeys(wish.ask)), order=wish.order, at=picture.at, hunt=wish.hunt),
            )
        finally:
            self._busy -= 1
        seen = _seen(app, picture, result)[: wish.max_faces]
        self._remember(app, seen)
        return seen

    async def look_at_all(self, app: App, wishes: Iterable[tuple[Image, Wish]]) -> list[list[Seen]]:
        """Several pictures at once; the first one's error counts."""
        wishes = list(wishes)
        return await together(self.look(app, image, wish, pictures=len(wishes)) for image, wish in wishes)

    def _remember(self, app: App, seen: list[Seen]) -> None:
        for face in seen:
            if face.picture.at is None:
                box = face.result.box
                stored = StoredFace(jpeg=face.picture.jpeg, box=(box.left, box.top, box.width, box.height))
                self._loose.remember(app, face.token, stored)


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results in their order; all are waited for, then the first error is raised."""
    done = await asyncio.gather(*work, return_exceptions=True)
    for outcome in done:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in done if not isinstance(outcome, BaseException)]


def _to_find(wish: Wish) -> int:
    """Tokens go by size, so where another order counts the others must be seen too."""
    return wish.max_faces if wish.order is Order.LARGEST else max(wish.max_faces, RANKED)


def _seen(app: App, picture: Picture, result: Result) -> list[Seen]:
    if not result.faces:
        raise refused(FaceCode((result.problem or NO_FACE).code))
    by_size = sorted(range(len(result.faces)), key=lambda n: -_area(result.faces[n]))
    rank = {number: place for place, number in enumerate(by_size)}
    scale = _scale(picture, result)
    return [
        Seen(picture.token_of(app, rank[number]), face, _measured(face), scale, picture)
        for number, face in enumerate(result.faces)
    ]


def _area(face: FaceResult) -> float:
    return face.box.width * face.box.height


def _measured(face: FaceResult) -> Measured:
    if face.measured is None:
        raise Unavailable(en="the recognizer did not answer the question")
    return face.measured


def _scale(picture: Picture, result: Result) -> Scale:
    if not (picture.width and result.width and result.height):
        return Scale()
    return Scale(picture.width / result.width, picture.height / result.height)
