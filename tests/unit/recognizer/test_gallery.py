"""The API's galleries: whatever history, the answer is that of looking at every face in turn."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from numpy.typing import NDArray

from recognizer.gallery import Gallery
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryDelta, UserRow
from shared.contracts.recognition import Candidate, Hunt
from shared.vision.calibration import score100
from shared.vision.embedder import model_id

MODEL = model_id(flip=False)

# Few, with cosines that f32 gets right to five digits, and many of them equal.
VECTORS = np.zeros((6, 128), np.float32)
VECTORS[:, :2] = [(1, 0), (0.6, 0.8), (0.8, 0.6), (0, 1), (-1, 0), (-0.6, 0.8)]


def bytes_of(vector: NDArray[np.float32]) -> bytes:
    return vector.astype("<f4").tobytes()


def faces_of(*rows: tuple[int, int, NDArray[np.float32]], model: str = MODEL) -> GalleryFaces:
    """(face_id, owner, vector)"""
    return GalleryFaces.of(model, [FaceRow(number, owner, bytes_of(vector)) for number, owner, vector in rows])


def group_of(*owners: int, app_id: int = 1, group: int = 1, group_id: str = "g") -> GroupUsers:
    return GroupUsers.of(app_id, group, group_id, [UserRow(owner, f"u{owner}", f"info {owner}") for owner in owners])


def a_delta(**changes: object) -> LibraryDelta:
    return LibraryDelta.decode(LibraryDelta(revision=1, head=1, **changes).encode())  # type: ignore[arg-type]


@dataclass
class NaiveGroup:
    app_id: int
    group_id: str
    users: dict[int, UserRow] = field(default_factory=dict)


@dataclass
class Naive:
    """What the gallery should hold."""

    groups: dict[int, NaiveGroup] = field(default_factory=dict)
    faces: dict[int, tuple[int, int]] = field(default_factory=dict)
    """face id → (owner, which of VECTORS)"""

    def remove_users(self, owners: set[int]) -> None:
        for group in self.groups.values():
            group.users = {owner: user for owner, user in group.users.items() if owner not in owners}
        self.faces = {number: face for number, face in self.faces.items() if face[0] not in owners}

    def search(self, probe: int, hunt: Hunt) -> tuple[Candidate, ...]:
        best: dict[int, tuple[float, int]] = {}
        users = {
            owner: (group.group_id, user)
            for group in self.groups.values()
            if group.app_id == hunt.app_id and group.group_id in hunt.groups
            for owner, user in group.users.items()
            if hunt.user_id in ("", user.user_id)
        }
        for number, (owner, vector) in self.faces.items():
            if owner in users:
                distance = -round(float(VECTORS[vector].astype(float) @ VECTORS[probe]), 5)
                best[owner] = min(best.get(owner, (9.0, 0)), (distance, number))
        nearest = sorted(best.items(), key=lambda item: item[1])[: hunt.users]
        return tuple(self._candidate(*users[owner], -distance) for owner, (distance, _) in nearest)

    def _candidate(self, group_id: str, user: UserRow, cosine: float) -> Candidate:
        score = score100(cosine, MODEL)
        return Candidate(group_id=group_id, user_id=user.user_id, user_info=user.user_info, score=score)


class Histories(RuleBasedStateMachine):
    """Adds, removes, renames and moves in any order; ids come from one counter, as a database's do."""

    owners: Bundle[int] = Bundle("owners")
    places = st.sampled_from([(1, "a"), (1, "b"), (2, "a")])

    @initialize()
    def start(self) -> None:
        self.gallery, self.naive, self.count = Gallery(MODEL), Naive(), 0

    def new_id(self) -> int:
        self.count += 1 + 3_000 * (self.count % 3 == 0)  # some on a page of their own
        return self.count

    def group_at(self, place: tuple[int, str]) -> int:
        found = [n for n, group in self.naive.groups.items() if (group.app_id, group.group_id) == place]
        return found[0] if found else self.new_id()

    def tell(self, group: int, place: tuple[int, str], users: list[UserRow], faces: dict[int, tuple[int, int]]) -> None:
        for user in users:
            self.naive.remove_users({user.owner} - set(self.naive.groups.get(group, NaiveGroup(*place)).users))
            self.naive.groups.setdefault(group, NaiveGroup(*place)).users[user.owner] = user
        self.naive.faces |= faces
        rows = [(number, owner, VECTORS[vector]) for number, (owner, vector) in faces.items()]
        block = GroupUsers.of(place[0], group, place[1], users)
        self.gallery.apply(a_delta(users=(block,), faces=(faces_of(*rows),)))

    @rule(target=owners, place=places, vectors=st.lists(st.integers(0, 5), max_size=4), count=st.integers(1, 3))
    def add_users(self, place: tuple[int, str], vectors: list[int], count: int) -> object:
        users = [UserRow(number, f"u{number}", "信息") for number in (self.new_id() for _ in range(count))]
        faces = {self.new_id(): (user.owner, vector) for user in users for vector in vectors}
        self.tell(self.group_at(place), place, users, faces)
        return multiple(*(user.owner for user in users))

    @rule(owner=owners, place=places, vector=st.integers(0, 5), info=st.text(max_size=3))
    def add_a_face_rename_or_move(self, owner: int, place: tuple[int, str], vector: int, info: str) -> None:
        self.tell(self.group_at(place), place, [UserRow(owner, f"v{owner}", info)], {self.new_id(): (owner, vector)})

    @rule(owner=owners, vector=st.integers(0, 5))
    def faces_change_hands(self, owner: int, vector: int) -> None:
        homes = [(n, g) for n, g in self.naive.groups.items() if owner in g.users]
        if homes and self.naive.faces:
            number, group = homes[0]
            taken = sorted(self.naive.faces)[len(self.naive.faces) // 2]
            place = (group.app_id, group.group_id)
            self.tell(number, place, [group.users[owner]], {taken: (owner, vector)})

    @rule(data=st.data())
    def remove_faces(self, data: st.DataObject) -> None:
        gone = data.draw(st.lists(st.sampled_from([*self.naive.faces, 10**9]), max_size=4))
        self.naive.faces = {n: face for n, face in self.naive.faces.items() if n not in gone}
        self.gallery.apply(a_delta(removed_faces=tuple(gone)))

    @rule(data=st.data())
    def another_model_takes_over_a_face(self, data: st.DataObject) -> None:
        gone = data.draw(st.sampled_from([*self.naive.faces, 10**9]))
        owner, _ = self.naive.faces.pop(gone, (1, 0))
        self.gallery.apply(a_delta(faces=(faces_of((gone, owner, VECTORS[0]), model="other"),)))

    @rule(gone=consumes(owners), place=places)
    def replace_a_user(self, gone: int, place: tuple[int, str]) -> None:
        """Another owner with the same user_id, in one delta."""
        user, face = UserRow(self.new_id(), f"u{gone}"), self.new_id()
        group = self.group_at(place)
        self.naive.remove_users({gone})
        self.naive.groups.setdefault(group, NaiveGroup(*place)).users[user.owner] = user
        self.naive.faces[face] = (user.owner, 2)
        users = (GroupUsers.of(place[0], group, place[1], [user]),)
        self.gallery.apply(
            a_delta(removed_users=(gone,), users=users, faces=(faces_of((face, user.owner, VECTORS[2])),))
        )

    @rule(place=places)
    def remove_a_group(self, place: tuple[int, str]) -> None:
        group = self.group_at(place)
        left = self.naive.groups.pop(group, NaiveGroup(*place)).users
        self.naive.remove_users(set(left))
        self.naive.faces = {n: face for n, face in self.naive.faces.items() if face[0] not in left}
        self.gallery.apply(a_delta(removed_groups=(group,)))

    @invariant()
    def every_search_is_right(self) -> None:
        if not hasattr(self, "gallery"):
            return
        assert len(self.gallery) == len(self.naive.faces)
        known = [user.user_id for group in self.naive.groups.values() for user in group.users.values()]
        hunts = [
            Hunt(app_id=1, groups=("a",)),
            Hunt(app_id=1, groups=("b", "a", "b", "none"), users=3),
            Hunt(app_id=2, groups=("a", "b"), users=50),
            *(Hunt(app_id=1, groups=("a", "b"), users=2, user_id=user_id) for user_id in [*known[:2], "nobody"]),
        ]
        for hunt in hunts:
            found = self.gallery.search(VECTORS, hunt)
            assert found == [self.naive.search(probe, hunt) for probe in range(len(VECTORS))]


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_the_same_picture_scores_exactly_100() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    gallery = Gallery(MODEL)
    rows = [(n, n, vector) for n, vector in enumerate(vectors, start=1)]
    gallery.apply(a_delta(users=(group_of(*range(1, 301)),), faces=(faces_of(*rows),)))
    found = gallery.search(vectors, Hunt(app_id=1, groups=("g",)))
    assert [users[0].score for users in found] == [100] * 300
    assert [users[0].user_id for users in found] == [f"u{n}" for n in range(1, 301)]


def test_users_with_many_faces_do_not_crowd_out_the_others() -> None:
    """Fifty users are wanted; the first has twenty faces nearer than anybody else's."""
    vectors = np.zeros((80, 128), np.float32)
    angles = np.linspace(0, 1.5, 80)
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    owners = [1] * 20 + list(range(2, 62))
    gallery = Gallery(MODEL)
    rows = [(n, owner, vectors[n]) for n, owner in enumerate(owners)]
    gallery.apply(a_delta(users=(group_of(*range(1, 62)),), faces=(faces_of(*rows),)))
    for users in (1, 2, 5, 50):
        (found,) = gallery.search(vectors[:1], Hunt(app_id=1, groups=("g",), users=users))
        assert [candidate.user_id for candidate in found] == [f"u{n}" for n in range(1, users + 1)]


@pytest.mark.parametrize("probes", [0, 1, 3])
def test_nobody_is_found_where_nobody_is(probes: int) -> None:
    gallery = Gallery(MODEL)
    for hunt in (Hunt(app_id=1, groups=("g",)), Hunt(app_id=1, groups=("g",), user_id="u1")):
        assert gallery.search(VECTORS[:probes], hunt) == [()] * probes
    gallery.apply(a_delta(users=(group_of(1),)))  # a user without a face of this model
    for hunt in (Hunt(app_id=1, groups=("g",)), Hunt(app_id=1, groups=("g",), user_id="u1")):
        assert gallery.search(VECTORS[:probes], hunt) == [()] * probes


def test_a_face_sent_twice_in_one_page_is_one_face_as_sent_last() -> None:
    gallery = Gallery(MODEL)
    rows = [(1, 1, VECTORS[0]), (1, 2, VECTORS[3])]
    gallery.apply(a_delta(users=(group_of(1, 2),), faces=(faces_of(*rows),)))
    ((found,),) = gallery.search(VECTORS[3:4], Hunt(app_id=1, groups=("g",), users=5))
    assert (found.user_id, found.score, len(gallery)) == ("u2", 100, 1)


def test_a_face_of_nobody_known_is_left_out() -> None:
    gallery = Gallery(MODEL)
    gallery.apply(a_delta(faces=(faces_of((1, 1, VECTORS[0])),)))
    assert len(gallery) == 0
