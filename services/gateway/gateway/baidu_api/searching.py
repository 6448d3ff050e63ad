"""`search`, `multi-search` and `match`: whose face it is, and whether two are the same (V3 §3.2–3.4)."""

import math
from array import array
from operator import mul
from typing import Any

from gateway.baidu_api import controls, parameters, shapes
from gateway.baidu_api.parameters import Controls, Search
from gateway.baidu_api.reading import Fields
from gateway.baidu_api.refusals import refused
from gateway.baidu_api.vision import Seen, Vision, Wish
from shared.codes import FaceCode
from shared.contracts.library import App
from shared.contracts.recognition import Ask, FaceResult, Hunt
from shared.errors import Unavailable
from shared.vision.calibration import score100


class Searching:
    """Three calls."""

    def __init__(self, vision: Vision) -> None:
        self._vision = vision

    async def search(self, app: App, sent: Fields) -> dict[str, Any]:
        """Raises 222207 when nobody reaches the threshold, in no group or a missing one either."""
        asked = parameters.search(sent)
        face = must_pass((await self._vision.look(app, asked.image, _wish(app, asked)))[0], asked.controls)
        users = _users(face, asked)
        if not users:
            raise refused(FaceCode.NO_MATCH)
        return {"face_token": face.token, "user_list": users}

    async def multi_search(self, app: App, sent: Fields) -> dict[str, Any]:
        """Faces that fail a control are left out; the first one's code counts if none remains."""
        asked = parameters.multi_search(sent)
        seen = await self._vision.look(app, asked.image, _wish(app, asked))
        good = [face for face in seen if controls.failure(face.measured, asked.controls) is None]
        if not good:
            must_pass(seen[0], asked.controls)
        faces = [_found(face, _users(face, asked)) for face in good]
        if not any(face["user_list"] for face in faces):
            raise refused(FaceCode.NO_MATCH)
        return {"face_num": len(faces), "face_list": faces}

    async def match(self, app: App, items: list[Fields]) -> dict[str, Any]:
        """Raises the first picture's error, if both have one."""
        asked = parameters.pair(items)
        wishes = [(one.image, Wish((*controls.asked(one.controls), Ask.EMBEDDING), one.order)) for one in asked]
        looked = await self._vision.look_at_all(app, wishes)
        first, second = (must_pass(faces[0], one.controls) for faces, one in zip(looked, asked, strict=True))
        return {
            "score": shapes.number(likeness(first.result, second.result), 12),
            "face_list": [{"face_token": first.token}, {"face_token": second.token}],
        }


def must_pass(face: Seen, asked: Controls) -> Seen:
    """The face itself. Raises the code of the first check that it fails."""
    failed = controls.failure(face.measured, asked)
    if failed is not None:
        raise refused(failed)
    return face


def likeness(first: FaceResult, second: FaceResult) -> float:
    """0..100. Raises Unavailable for faces that different models measured, or that cannot be compared here."""
    if first.model != second.model or not first.embedding or len(first.embedding) != len(second.embedding):
        raise Unavailable(en="the two faces were measured by different models")
    cosine = math.fsum(map(mul, array("f", first.embedding), array("f", second.embedding)))
    return score100(cosine, first.model)


def _wish(app: App, asked: Search) -> Wish:
    hunt = Hunt(app_id=app.app_id, groups=asked.groups, user_id=asked.user_id, users=asked.users)
    return Wish(controls.asked(asked.controls), asked.order, asked.max_faces, hunt)


def _users(face: Seen, asked: Search) -> list[dict[str, Any]]:
    near = [found for found in face.result.candidates if found.score >= asked.threshold]
    return [shapes.user(found) for found in near[: asked.users]]


def _found(face: Seen, users: list[dict[str, Any]]) -> dict[str, Any]:
    place = shapes.location(face.result.box, face.measured.rotation, face.scale)
    return {"face_token": face.token, "location": place, "user_list": users}
