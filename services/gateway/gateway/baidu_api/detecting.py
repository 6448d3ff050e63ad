"""`detect` and `faceverify`: what can be told of the faces in a picture (V3 §3.1, §3.5)."""

import asyncio
import base64
import io
from typing import Any, Final

from PIL import Image as Pillow

from gateway.baidu_api import parameters, shapes
from gateway.baidu_api.controls import LIVENESS
from gateway.baidu_api.parameters import Level
from gateway.baidu_api.reading import Fields
from gateway.baidu_api.refusals import refused
from gateway.baidu_api.vision import Seen, Vision, Wish
from shared.codes import FaceCode
from shared.contracts.library import App
from shared.contracts.recognition import Ask

THRESHOLDS: Final = {
    "frr_1e-4": LIVENESS[Level.LOW],
    "frr_1e-3": LIVENESS[Level.NORMAL],
    "frr_1e-2": LIVENESS[Level.HIGH],
}


class Detecting:
    """Two calls."""

    def __init__(self, vision: Vision) -> None:
        self._vision = vision

    async def detect(self, app: App, sent: Fields) -> dict[str, Any]:
        """Faces that fail liveness_control are left out; 223120 if none remains."""
        asked = parameters.detect(sent)
        alive = () if asked.liveness is Level.NONE else (Ask.LIVENESS,)
        wish = Wish((*shapes.asked(asked.shown), *alive), asked.order, asked.max_faces)
        seen = [face for face in await self._vision.look(app, asked.image, wish) if _passes(face, asked.liveness)]
        if not seen:
            raise refused(FaceCode.NOT_ALIVE)
        faces = [_face(face, asked.shown) | _alive(face, asked.liveness) for face in seen]
        if asked.crops:
            crops = await asyncio.to_thread(lambda: [crop(face) for face in seen])
            faces = [face | {"corp_image_base64": cut} for face, cut in zip(faces, crops, strict=True)]
        # Newer pages have the crop beside the list, older ones in each face: one face has it in both places.
        beside = {"corp_image_base64": faces[0]["corp_image_base64"]} if asked.crops and len(faces) == 1 else {}
        return {"face_num": len(faces), "face_list": faces, **beside}

    async def faceverify(self, app: App, items: list[Fields]) -> dict[str, Any]:
        """The best of several pictures of one person counts; the caller decides by the thresholds."""
        asked = parameters.verified(items)
        wishes = [(one.image, Wish((*shapes.asked(one.shown), Ask.LIVENESS))) for one in asked]
        seen = [faces[0] for faces in await self._vision.look_at_all(app, wishes)]
        faces = [
            _face(face, one.shown) | {"liveness": shapes.liveness(_score(face))}
            for face, one in zip(seen, asked, strict=True)
        ]
        best = shapes.number(max(_score(face) for face in seen), 6)
        return {"face_liveness": best, "thresholds": THRESHOLDS, "face_list": faces}


def _face(face: Seen, shown: frozenset[str]) -> dict[str, Any]:
    return shapes.face(face.token, face.result.box, face.measured, face.scale, shown)


def _score(face: Seen) -> float:
    """A face too small to be judged has shown no life."""
    return face.measured.liveness or 0.0


def _passes(face: Seen, level: Level) -> bool:
    return level is Level.NONE or _score(face) >= LIVENESS[level]


def _alive(face: Seen, level: Level) -> dict[str, Any]:
    return {} if level is Level.NONE else {"liveness": shapes.liveness(_score(face))}


def crop(face: Seen) -> str:
    """The face's box, cut out of what was looked at, as a base64 JPEG."""
    box, out = face.result.box, io.BytesIO()
    with Pillow.open(io.BytesIO(face.picture.jpeg)) as picture:
        left, top = max(0, int(box.left)), max(0, int(box.top))
        right = min(picture.width, max(left + 1, round(box.left + box.width)))
        bottom = min(picture.height, max(top + 1, round(box.top + box.height)))
        picture.crop((left, top, right, bottom)).convert("RGB").save(out, "JPEG", quality=92)
    return base64.b64encode(out.getvalue()).decode()
