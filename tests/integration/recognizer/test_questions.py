"""Questions over a real broker: answered from the newest library, without a punch, without losing the turn."""

import asyncio
from contextlib import suppress

from recognizer.engines import Outcome
from recognizer.service import service
from recognizer.worker import Worker
from shared.bus.topology import TURN_AGE_S, TURN_WAIT_S
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryDelta, UserRow
from shared.contracts.people import Gender, Person
from shared.contracts.recognition import Ask, Candidate, FaceResult, Frame, Hunt, Question, Result, Verdict
from shared.runtime import background
from shared.testing import eventually
from tests.conftest import Broker
from tests.integration.recognizer.conftest import Around

Photos = dict[str, tuple[bytes, ...]]

ADA = Person(student_id=7, num="u1", name="Ada", class_name="A", gender=Gender.WOMAN)
WHERE = Hunt(app_id=1, groups=("g",))


def registered(face: FaceResult, student_id: int = 0) -> dict[str, tuple[object, ...]]:
    """The face as user u1 of group g."""
    return {
        "people": (ADA,) if student_id else (),
        "users": (GroupUsers.of(1, 3, "g", [UserRow(5, "u1", "信息", student_id)]),),
        "faces": (GalleryFaces.of(face.model, [FaceRow(9, 5, face.embedding)]),),
    }


async def embedded(around: Around, jpeg: bytes) -> FaceResult:
    (face,) = (await around.window.once(jpeg, Question(ask=(Ask.EMBEDDING,)))).faces
    assert face.embedding
    return face


async def found(around: Around, jpeg: bytes) -> tuple[Candidate, ...]:
    (face,) = (await around.window.once(jpeg, Question(hunt=WHERE))).faces
    return face.candidates


async def test_what_is_added_is_found_and_what_is_removed_is_not(around: Around, photos: Photos) -> None:
    ada, _ = photos["Jacinda Ardern"]
    async with service(around.settings):
        face = await embedded(around, ada)
        assert await found(around, ada) == ()
        await around.window.reached(await around.books.tell(**registered(face)))
        assert await found(around, ada) == (Candidate(group_id="g", user_id="u1", user_info="信息", score=100),)
        await around.window.reached(await around.books.tell(removed_groups=(3,)))
        assert await found(around, ada) == ()


async def test_a_question_about_a_student_is_no_punch_but_a_look_is(around: Around, photos: Photos) -> None:
    ada, other_photo = photos["Jacinda Ardern"]
    async with service(around.settings):
        face = await embedded(around, ada)
        await around.window.reached(await around.books.tell(**registered(face, ADA.student_id)))
        (candidate,) = await found(around, other_photo)
        assert (candidate.user_id, candidate.score > 80) == ("u1", True)
        assert await around.books.punches() == 0
        (seen,) = (await around.window.once(other_photo)).faces
        assert (seen.verdict, seen.person) == (Verdict.IDENTIFIED, ADA)
        assert await around.books.punches() == 1


async def test_a_restarted_recognizer_is_complete_before_it_takes_a_turn(around: Around, photos: Photos) -> None:
    ada, _ = photos["Jacinda Ardern"]
    async with service(around.settings):
        face = await embedded(around, ada)
    around.books.write(**registered(face))
    for owner in range(100, 150):
        around.books.write(users=(GroupUsers.of(1, 3, "g", [UserRow(owner, f"u{owner}")]),))
    source = await around.window.show(ada, Question(hunt=WHERE))

    async def answered() -> bool:
        """A turn that nobody takes is dropped after a while, so it is asked for again and again."""
        await around.window.ask_for_turn(source)
        return not around.window.results.empty()

    async with background(eventually(answered, 60, "an answer")), service(around.settings):
        result = await around.window.result(60)
        assert result.revision == 51
        assert [candidate.user_id for candidate in result.faces[0].candidates] == ["u1"]


class Slow:
    """An engine whose answers take longer than a turn may last without a word, and longer than the stream keeps it."""

    revision = 0
    waiting = 0

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def answer(self, frame: Frame) -> Outcome:
        self.asked.append(frame.source)
        with suppress(TimeoutError):
            async with asyncio.timeout(TURN_AGE_S + TURN_WAIT_S / 2):
                await asyncio.Event().wait()
        return Outcome(Result(frame_id=frame.frame_id, source=frame.source, captured_at=frame.captured_at))

    async def apply(self, delta: LibraryDelta) -> None:
        raise AssertionError("there is no library here")

    async def reset(self) -> None:
        raise AssertionError("there is no library here")


async def test_a_long_question_is_worked_on_once(broker: Broker, around: Around, photos: Photos) -> None:
    engine = Slow()
    async with broker.connect("recognizer") as events, broker.connect("recognizer", frames=True) as frames:
        one, other = (Worker(events, frames, engine) for _ in range(2))
        async with background(one.run(), other.run()):
            result = await around.window.once(photos["Jacinda Ardern"][0], Question())
    assert engine.asked == [result.source]
