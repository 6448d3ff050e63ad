"""`user/add` and `user/update`: a face enters the library (V3 §3.6, §3.7)."""

from typing import Any, Final

from gateway.baidu_api import controls, parameters, shapes
from gateway.baidu_api.parameters import Enrolment
from gateway.baidu_api.reading import Fields
from gateway.baidu_api.refusals import refused
from gateway.baidu_api.searching import must_pass
from gateway.baidu_api.vision import Seen, Vision, Wish
from gateway.clockin import Indexes
from shared.bus import Bus
from shared.codes import FaceCode
from shared.contracts.library import App, EnrolledFace, PutFace
from shared.contracts.recognition import Ask

MIN_FACE: Final = 64
"""pixels of the shorter side as it was looked at; below it 222213 (§2.5)"""


class Enrolling:
    """Two calls. They answer when every recognizer finds the face: who adds and searches at once finds it."""

    def __init__(self, bus: Bus, vision: Vision, indexes: Indexes) -> None:
        self._bus, self._vision, self._indexes = bus, vision, indexes

    async def add(self, app: App, sent: Fields) -> dict[str, Any]:
        """Raises 222210, 222213, 223105 and what the picture is refused for."""
        return await self._put(app, parameters.added(sent))

    async def update(self, app: App, sent: Fields) -> dict[str, Any]:
        """As `add`, and 223103."""
        return await self._put(app, parameters.updated(sent))

    async def _put(self, app: App, asked: Enrolment) -> dict[str, Any]:
        wish = Wish((*controls.asked(asked.controls), Ask.EMBEDDING), asked.order)
        face = must_pass((await self._vision.look(app, asked.image, wish))[0], asked.controls)
        if min(face.result.box.width, face.result.box.height) < MIN_FACE:
            raise refused(FaceCode.FACE_TOO_SMALL)
        put = await self._bus.ask(
            PutFace(
                app_id=app.app_id,
                group_id=asked.group_id,
                user_id=asked.user_id,
                user_info=asked.user_info,
                action=asked.action,
                face=_enrolled(face),
            )
        )
        await self._indexes.reach(put.revision)
        place = shapes.location(face.result.box, face.measured.rotation, face.scale)
        return {"face_token": face.token, "location": place}


def _enrolled(face: Seen) -> EnrolledFace:
    box = face.result.box
    return EnrolledFace(
        model=face.result.model,
        embedding=face.result.embedding,
        jpeg=face.picture.jpeg,
        box=(box.left, box.top, box.width, box.height),
        token=face.token,
    )
