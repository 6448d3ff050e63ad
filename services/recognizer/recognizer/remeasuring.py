"""Measures stored photos again after the model changed (`rollcall reembed`). Doors come first: a recognizer takes one
photo at a time, and between its steps the frames that wait."""

from datetime import timedelta

from recognizer.engines.local import LocalEngine
from shared.bus import Bus
from shared.codes import FaceCode
from shared.contracts.base import now
from shared.contracts.recognition import (
    NO_FACE,
    Ask,
    Box,
    Embedded,
    Frame,
    GetModel,
    MeasureAgain,
    ModelInUse,
    Question,
    SourceKind,
    Want,
)
from shared.errors import InvalidInput, Unavailable

SAME_FACE = 0.3
"""share of both boxes, overlap by union, from which a face that is found is the one that was registered: the detector
gives the same box again, but for another size of the same picture"""


class Remeasuring:
    """Any recognizer may answer."""

    def __init__(self, bus: Bus, engine: LocalEngine) -> None:
        self._bus, self._engine = bus, engine

    async def serve(self) -> None:
        """Answer from now on; the library must be complete."""
        await self._bus.serve(GetModel, self.model)
        await self._bus.serve(MeasureAgain, self.measure, concurrency=1)

    async def model(self, asked: GetModel) -> ModelInUse:
        return ModelInUse(model=self._engine.model, waiting=self._engine.waiting)

    async def measure(self, asked: MeasureAgain) -> Embedded:
        """Raises InvalidInput, Unavailable."""
        left, top, width, height = asked.face.box
        box = Box(left=left, top=top, width=width, height=height)
        frame = Frame(
            source="again",
            kind=SourceKind.UPLOAD,
            place="",
            deadline=now() + timedelta(seconds=MeasureAgain.timeout),
            want=Want.ANSWER,
            question=Question(ask=(Ask.EMBEDDING,), at=box),
            jpeg=asked.face.jpeg,
        )
        result = (await self._engine.answer(frame)).result
        for face in result.faces:
            if face.embedding and face.box.overlap(box) >= SAME_FACE:
                return Embedded(model=face.model, embedding=face.embedding)
        problem = result.problem or NO_FACE
        if problem.code == FaceCode.UNAVAILABLE:
            raise Unavailable(problem.zh, problem.en)
        raise InvalidInput(problem.zh, problem.en, field="face", number=problem.code)
