"""What terminals that recognise by themselves get and tell: the roster by revisions, reported punches, the last one."""

import asyncio
import random
from datetime import date, timedelta

import pytest

from registry.handlers import Attendance, FaceLibrary, Students, Terminals
from registry.store.library import Library
from shared.contracts.attendance import (
    GetLastPunch,
    PunchesOfDay,
    PunchReport,
    ReportOutcome,
    ReportPunches,
    ReportState,
)
from shared.contracts.library import FaceAction, ListFaces, PutFace, RemoveFace, RemoveUser
from shared.contracts.people import DeleteStudent, Person
from shared.contracts.roster import FACES_EACH, GetRoster
from shared.errors import Conflict, NotFound
from tests.integration.registry.samples import EIGHT, correction, embedding, face, registration

DAY = date(2026, 3, 2)


class Box:
    """A terminal's copy, kept as the contract says."""

    def __init__(self, terminals: Terminals, *classes: str, limit: int = 500) -> None:
        self._terminals, self._classes, self._limit = terminals, classes, limit
        self.revision = 0
        self.names: dict[str, tuple[str, tuple[bytes, ...]]] = {}

    async def fetch(self, pages: int = 1_000) -> None:
        for _ in range(pages):
            page = await self._terminals.roster(
                GetRoster(classes=self._classes, since=self.revision, limit=self._limit)
            )
            for num in page.removed:
                self.names.pop(num, None)
            for entry in page.entries:
                self.names[entry.person.num] = (entry.person.name, tuple(face.embedding for face in entry.faces))
            self.revision = page.revision
            if page.revision == page.head:
                return


async def register(students: Students, seed: int, **fields: str) -> Person:
    return (await students.register(registration(seed, **fields))).person


async def test_only_those_of_the_classes_come(students: Students, terminals: Terminals) -> None:
    await register(students, 1)
    await register(students, 2, class_name="二班")
    everybody, one, nobody = Box(terminals), Box(terminals, "一班"), Box(terminals, "三班")
    for box in (everybody, one, nobody):
        await box.fetch()
    assert everybody.names.keys() == {"20260001", "20260002"}
    assert one.names == {"20260001": ("学生1", (embedding(1),))}
    assert nobody.names == {}


async def test_a_student_comes_and_goes_with_the_class(students: Students, terminals: Terminals) -> None:
    person = await register(students, 1)
    one, two = Box(terminals, "一班"), Box(terminals, "二班")
    await one.fetch()
    await two.fetch()
    await students.edit(correction(person.student_id, num=person.num, name=person.name, class_name="二班"))
    await one.fetch()
    await two.fetch()
    assert (one.names.keys(), two.names.keys()) == (set(), {person.num})
    await students.edit(correction(person.student_id, num="77", name="新名", class_name="二班"))
    await two.fetch()
    assert two.names == {"77": ("新名", (embedding(1),))}
    await students.delete(DeleteStudent(student_id=person.student_id, by="office"))
    await two.fetch()
    assert two.names == {}


async def test_the_newest_faces_come_together(
    students: Students, faces: FaceLibrary, library: Library, terminals: Terminals
) -> None:
    person = await register(students, 1)
    box = Box(terminals)
    await box.fetch()
    whose = {"app_id": library.app_id, "group_id": "students", "user_id": person.num}
    for seed in range(2, 7):
        await faces.put_face(PutFace(**whose, action=FaceAction.APPEND, face=face(seed)))
    await box.fetch()
    assert box.names[person.num][1] == tuple(embedding(seed) for seed in (6, 5, 4, 3))
    assert FACES_EACH == 4
    kept = await faces.list_faces(ListFaces(**whose))
    await faces.remove_face(RemoveFace(**whose, face_token=kept.faces[-1].face_token))
    await box.fetch()
    assert box.names[person.num][1] == tuple(embedding(seed) for seed in (5, 4, 3, 2))
    await faces.remove_user(RemoveUser(**whose))
    await box.fetch()
    assert box.names == {}


async def test_an_older_library_is_noticed(students: Students, terminals: Terminals) -> None:
    await register(students, 1)
    page = await terminals.roster(GetRoster(since=99))
    assert (page.revision, page.head, page.entries) == (1, 1, ())


@pytest.mark.parametrize("seed", range(3))
async def test_any_history_in_any_pages_leads_to_the_truth(
    students: Students, faces: FaceLibrary, library: Library, terminals: Terminals, seed: int
) -> None:
    dice = random.Random(seed)
    slow = [Box(terminals, "一班", limit=2), Box(terminals, "二班", "一班", limit=1), Box(terminals, limit=3)]
    people: dict[int, str] = {}
    for step in range(40):
        await _happen(dice, step, people, students, faces, library)
        await dice.choice(slow).fetch(pages=dice.randrange(3))
    for box in slow:
        await box.fetch()
        fresh = Box(terminals, *box._classes)
        await fresh.fetch()
        assert box.names == fresh.names


async def _happen(
    dice: random.Random,
    step: int,
    people: dict[int, str],
    students: Students,
    faces: FaceLibrary,
    library: Library,
) -> None:
    """Something, as far as it can."""
    num, class_name = str(dice.randrange(6)), dice.choice(["一班", "二班", "三班"])
    student_id = dice.choice([*people, 0])
    whose = {"app_id": library.app_id, "group_id": "students", "user_id": people.get(student_id, num)}
    try:
        match dice.randrange(6):
            case 0 | 1:
                made = await register(students, 1_000 + step, num=num, class_name=class_name)
                people[made.student_id] = num
            case 2:
                await students.edit(correction(student_id, num=num, class_name=class_name))
                people[student_id] = num
            case 3:
                await students.delete(DeleteStudent(student_id=student_id, by="office"))
                del people[student_id]
            case 4:
                await faces.put_face(PutFace(**whose, action=FaceAction.APPEND, face=face(1_000 + step)))
            case 5:
                await faces.remove_user(RemoveUser(**whose))
    except (Conflict, NotFound):
        pass


# ---- reported punches


def told(who: str, after_s: float = 0, report_id: str = "") -> PunchReport:
    return PunchReport(
        report_id=report_id or f"report-3-{who}-{after_s}", who=who, captured_at=EIGHT + timedelta(seconds=after_s)
    )


async def report(terminals: Terminals, *reports: PunchReport, classes: tuple[str, ...] = ()) -> list[ReportOutcome]:
    asked = ReportPunches(place="东门", source="device-3", classes=classes, reports=reports)
    return list((await terminals.report(asked)).outcomes)


async def punched(attendance: Attendance) -> list[tuple[str, str]]:
    page = await attendance.of_day(PunchesOfDay(day=DAY))
    return sorted((row.num, row.place) for row in page.rows)


async def test_a_report_becomes_a_punch_once(students: Students, attendance: Attendance, terminals: Terminals) -> None:
    person = await register(students, 1)
    first = told(person.num, 5)
    expected = ReportOutcome(report_id=first.report_id, state=ReportState.RECORDED, person=person)
    for _ in range(3):
        assert await report(terminals, first) == [expected]
    assert await punched(attendance) == [(person.num, "东门")]


async def test_many_at_once_by_number_and_by_name(
    students: Students, attendance: Attendance, terminals: Terminals
) -> None:
    people = [await register(students, seed) for seed in (1, 2, 3)]
    outcomes = await report(
        terminals,
        told(people[0].num),
        told(people[1].name),
        told(" 学生3 "),
        told("无此人"),
        told(people[0].num, 30),
        told(people[0].num),
    )
    states = [outcome.state.value for outcome in outcomes]
    assert states == ["recorded", "recorded", "recorded", "unknown", "repeated", "recorded"]
    assert [outcome.person for outcome in outcomes[:3]] == people
    assert await punched(attendance) == [(p.num, "东门") for p in people]


async def test_a_name_that_two_bear_needs_the_number(students: Students, terminals: Terminals) -> None:
    first = await register(students, 1, name="张三")
    await register(students, 2, name="张三", class_name="二班")
    assert [o.state for o in await report(terminals, told("张三"))] == [ReportState.AMBIGUOUS]
    assert [o.person for o in await report(terminals, told("张三", 1), classes=("一班",))] == [first]
    assert [o.person for o in await report(terminals, told(first.num, 120))] == [first]


async def test_a_number_counts_before_a_name(students: Students, terminals: Terminals) -> None:
    await register(students, 1, name="20260002")
    second = await register(students, 2)
    assert [o.person for o in await report(terminals, told("20260002"))] == [second]


async def test_a_device_tells_only_of_its_classes(students: Students, terminals: Terminals) -> None:
    person = await register(students, 1)
    assert [o.state for o in await report(terminals, told(person.num), classes=("二班",))] == [ReportState.UNKNOWN]


async def test_an_unknown_name_may_come_again_when_it_is_known(students: Students, terminals: Terminals) -> None:
    early = told("20260001")
    assert [o.state for o in await report(terminals, early)] == [ReportState.UNKNOWN]
    await register(students, 1)
    assert [o.state for o in await report(terminals, early)] == [ReportState.RECORDED]


async def test_the_same_report_by_two_roads_at_once(
    students: Students, attendance: Attendance, terminals: Terminals
) -> None:
    person = await register(students, 1)
    both = await asyncio.gather(*(report(terminals, told(person.num, 7, "report-3-9-1")) for _ in range(4)))
    assert {outcome.state for [outcome] in both} == {ReportState.RECORDED}
    assert await punched(attendance) == [(person.num, "东门")]


async def test_the_last_punch_of_a_source(students: Students, terminals: Terminals) -> None:
    assert (await terminals.last_punch(GetLastPunch(source="device-3"))).punch is None
    first, second = [await register(students, seed) for seed in (1, 2)]
    await report(terminals, told(first.num, 100))
    await report(terminals, told(second.num, 50))
    last = (await terminals.last_punch(GetLastPunch(source="device-3"))).punch
    assert last is not None
    assert (last.num, last.captured_at) == (first.num, EIGHT + timedelta(seconds=100))
    assert (await terminals.last_punch(GetLastPunch(source="device-33"))).punch is None
