"""What a recognizer's copy of the library can rely on: snapshot, delta, pages, revisions."""

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable

import pytest

from registry.handlers import FaceLibrary, Students
from registry.store.changes import changes
from registry.store.database import Database, DatabaseUnusable
from registry.store.library import Library, open_library
from shared.contracts.gallery import FaceRow, LibraryChanges, LibraryDelta, UserRow
from shared.contracts.people import DeleteStudent, Person
from shared.security import Vault
from tests.integration.registry.samples import LIBRARY_KEY, correction, embedding, face, registration


class Copy:
    """A recognizer's copy, as dull as can be."""

    def __init__(self) -> None:
        self.revision = 0
        self.people: dict[int, Person] = {}
        self.users: dict[int, tuple[int, int, str, UserRow]] = {}
        self.faces: dict[int, FaceRow] = {}

    def apply(self, delta: LibraryDelta) -> None:
        for gone in delta.removed_faces:
            self.faces.pop(gone, None)  # a copy in pages may be told of what it never had
        for gone in delta.removed_people:
            self.people.pop(gone, None)
        lost = {owner for owner, (_, group, *_) in self.users.items() if group in delta.removed_groups}
        lost |= set(delta.removed_users)
        self.users = {owner: u for owner, u in self.users.items() if owner not in lost}
        self.faces = {face_id: f for face_id, f in self.faces.items() if f.owner not in lost}
        self.people |= {p.student_id: p for p in delta.people}
        for users in delta.users:
            self.users |= {u.owner: (users.app_id, users.group, users.group_id, u) for u in users.rows()}
        self.faces |= {row.face_id: row for faces in delta.faces for row in faces.rows()}
        assert all(row.owner in self.users for row in self.faces.values())
        assert all(u.student_id in self.people for *_, u in self.users.values() if u.student_id)
        self.revision = delta.revision

    async def catch_up(self, ask: Callable[[LibraryChanges], Awaitable[LibraryDelta]], limit: int = 2_000) -> None:
        while True:
            delta = await ask(LibraryChanges(since=self.revision, limit=limit))
            assert delta.revision > self.revision or delta.revision == delta.head
            self.apply(delta)
            if delta.revision == delta.head:
                return


async def test_an_empty_library(students: Students, faces: FaceLibrary) -> None:
    assert await faces.changes(LibraryChanges(since=0)) == LibraryDelta(revision=0, head=0)


async def test_a_face_comes_out_as_it_went_in(students: Students, faces: FaceLibrary) -> None:
    person = (await students.register(registration(1))).person
    delta = await faces.changes(LibraryChanges(since=0))
    assert (delta.revision, delta.head, delta.people) == (1, 1, (person,))
    [faces_of_model], [users] = delta.faces, delta.users
    [found], [user] = faces_of_model.rows(), users.rows()
    assert (found.owner, faces_of_model.model, found.embedding) == (user.owner, "sface", embedding(1))
    assert (users.group_id, user.user_id, user.user_info) == ("students", person.num, person.name)
    assert user.student_id == person.student_id


async def test_an_edit_carries_the_new_name_alone(students: Students, faces: FaceLibrary) -> None:
    person = (await students.register(registration(1))).person
    await students.edit(correction(person.student_id, name="新"))
    delta = await faces.changes(LibraryChanges(since=1))
    assert ([p.name for p in delta.people], delta.faces, delta.removed_faces) == (["新"], (), ())


async def test_removals_are_told_to_those_who_could_know(students: Students, faces: FaceLibrary) -> None:
    old = (await students.register(registration(1))).person
    known = await faces.changes(LibraryChanges(since=0))
    young = (await students.register(registration(2))).person
    for person in (old, young):
        await students.delete(DeleteStudent(student_id=person.student_id, by="office"))
    delta = await faces.changes(LibraryChanges(since=known.revision))
    assert (delta.removed_people, delta.removed_users) == (
        (old.student_id,),
        tuple(u.owner for u in known.users[0].rows()),
    )
    assert delta.removed_faces == ()
    assert await faces.changes(LibraryChanges(since=0)) == LibraryDelta(revision=4, head=4)


@pytest.mark.parametrize("limit", [1, 2, 7])
async def test_pages_are_whole_and_bounded(students: Students, faces: FaceLibrary, limit: int) -> None:
    for seed in range(6):
        await students.register(registration(seed))
    first = (await faces.changes(LibraryChanges(since=0))).people[0]
    await students.edit(correction(first.student_id))
    copy, pages, since = Copy(), 0, 0
    while since < 7:
        delta = await faces.changes(LibraryChanges(since=since, limit=limit))
        assert since < delta.revision and sum(map(len, delta.faces)) <= limit
        copy.apply(delta)
        since, pages = delta.revision, pages + 1
    assert (len(copy.people), len(copy.faces)) == (6, 6)
    assert pages == {1: 7, 2: 4, 7: 1}[limit]


async def test_a_page_is_bounded_in_bytes_too(
    students: Students, faces: FaceLibrary, database: Database, library: Library
) -> None:
    """4,000 faces of 16 KiB would be 64 MB in one message."""
    size = 4_096
    unit = struct.pack(f"<{size}f", *([1 / size**0.5] * size))
    for seed in range(5):
        await students.register(registration(seed, face=face(seed).model_copy(update={"embedding": unit})))
    ends, since = [], 0
    while since < 5:
        delta = await database.read(lambda s, since=since: changes(s, library.vault, since, 4_000, room=40_000))
        since = delta.revision
        ends.append(since)
    assert ends == [2, 4, 5]


@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_a_copy_equals_a_snapshot(students: Students, faces: FaceLibrary, seed: int) -> None:
    dice, copy, made = random.Random(seed), Copy(), 0
    alive: list[int] = []
    for _ in range(50):
        match dice.choice(["register", "register", "edit", "delete", "look"]):
            case "edit" if alive:
                await students.edit(correction(chosen := dice.choice(alive), num=f"e{chosen}", name=f"名{made}"))
            case "delete" if alive:
                chosen = alive.pop(dice.randrange(len(alive)))
                await students.delete(DeleteStudent(student_id=chosen, by="office"))
            case "look":
                await copy.catch_up(faces.changes, limit=dice.randint(1, 5))
            case _:
                made += 1
                alive.append((await students.register(registration(made))).person.student_id)
    await copy.catch_up(faces.changes, limit=3)
    fresh = Copy()
    await fresh.catch_up(faces.changes)
    assert (copy.people, copy.faces) == (fresh.people, fresh.faces)
    assert sorted(fresh.people) == sorted(alive)


async def test_no_revision_is_missed_while_many_register(students: Students, faces: FaceLibrary) -> None:
    """Readers follow while writers commit side by side: a number seen means everything before it was seen."""
    copy, done = Copy(), asyncio.Event()

    async def follow() -> None:
        while not done.is_set():
            await copy.catch_up(faces.changes, limit=3)
            assert len(copy.people) == copy.revision

    following = asyncio.create_task(follow())
    answers = await asyncio.gather(*(students.register(registration(seed)) for seed in range(24)))
    done.set()
    await following
    await copy.catch_up(faces.changes)
    assert sorted(a.revision for a in answers) == list(range(1, 25))
    assert sorted(copy.people) == sorted(a.person.student_id for a in answers)


async def test_a_refusal_uses_no_revision(students: Students, faces: FaceLibrary) -> None:
    await students.register(registration(1))
    await asyncio.gather(
        *(students.register(registration(n, num="20260001")) for n in range(2, 5)), return_exceptions=True
    )
    assert (await students.register(registration(9))).revision == 2


async def test_a_copy_from_the_future_is_told_the_head(students: Students, faces: FaceLibrary) -> None:
    await students.register(registration(1))
    assert await faces.changes(LibraryChanges(since=99)) == LibraryDelta(revision=1, head=1)


async def test_the_library_opens_again_with_the_same_key_only(database: Database, library: Library) -> None:
    again = await open_library(database, Vault(LIBRARY_KEY))
    assert (again.app_id, again.group_pk, again.token_key) == (library.app_id, library.group_pk, library.token_key)
    with pytest.raises(DatabaseUnusable, match="LIBRARY_KEY"):
        await open_library(database, Vault("cd" * 32))


async def test_replicas_that_start_together_make_one_library(database: Database) -> None:
    opened = await asyncio.gather(*(open_library(database, Vault(LIBRARY_KEY)) for _ in range(5)))
    assert len({(one.app_id, one.token_key) for one in opened}) == 1
