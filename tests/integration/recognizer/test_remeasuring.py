"""A recognizer says which photos wait for it, and measures them again, over a real broker."""

import pytest
from structlog.testing import capture_logs

from recognizer.service import service
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, UserRow
from shared.contracts.library import StoredFace
from shared.contracts.recognition import Ask, GetModel, MeasureAgain, Question
from shared.errors import InvalidInput
from shared.vision.embedder import model_id
from tests.conftest import Broker
from tests.integration.recognizer.conftest import Around
from tests.integration.recognizer.test_questions import Photos

USERS = GroupUsers.of(1, 3, "g", [UserRow(5, "u1")])


async def test_the_same_photo_gives_the_embedding_of_today(broker: Broker, around: Around, photos: Photos) -> None:
    jpeg = photos["Jacinda Ardern"][0]
    async with service(around.settings), broker.connect("cli") as bus:
        (seen,) = (await around.window.once(jpeg, Question(ask=(Ask.EMBEDDING,)))).faces
        box = (seen.box.left, seen.box.top, seen.box.width, seen.box.height)
        again = await bus.ask(MeasureAgain(face=StoredFace(jpeg=jpeg, box=box)))
        assert (again.model, again.embedding) == (seen.model, seen.embedding)
        for damaged in (StoredFace(jpeg=jpeg, box=(0, 0, 9, 9)), StoredFace(jpeg=b"no picture", box=box)):
            with pytest.raises(InvalidInput) as refused:
                await bus.ask(MeasureAgain(face=damaged))
            assert refused.value.zh


async def test_photos_of_another_model_are_counted_and_told_once(broker: Broker, around: Around) -> None:
    rows = [FaceRow(number, 5, bytes(512)) for number in (8, 9)]
    around.books.write(users=(USERS,), faces=(GalleryFaces.of("sface-2021dec/1", rows),))
    with capture_logs() as logged:
        async with service(around.settings), broker.connect("cli") as bus:
            found = await bus.ask(GetModel())
            assert (found.model, found.waiting) == (model_id(flip=False), 2)
            await around.window.reached(await around.books.tell(removed_faces=(8,)))
            assert (await bus.ask(GetModel())).waiting == 1
            while (await around.window.alive.get()).waiting != 1:
                pass
    told = [line["count"] for line in logged if "rollcall reembed" in line["event"]]
    assert told == [2]
