"""The API's libraries in memory: app → group → user → face, with exact search. Pure; one thread uses it.

Unlike the door's index, which has one row for a person, every face is a row here: the score is that of a user's most
similar face. What belongs to a user or a face stands in columns, so that a million of them fit.
"""

from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recognizer.nearest import Vectors
from recognizer.rows import NOWHERE, Rows
from shared.contracts.gallery import GalleryFaces, GroupUsers, LibraryDelta, unpack
from shared.contracts.library import CLOUD_MODEL
from shared.contracts.recognition import Candidate, Hunt
from shared.vision.calibration import score100

Floats = NDArray[np.float32]

ROUNDED = 5
"""digits of a cosine that count: the same face, embedded alone and among others, gives 1 to within 3e-7"""

Leaving = defaultdict[int, list[int]]
"""Ids of faces to take out of the vectors, by group."""


@dataclass(slots=True)
class Group:
    """One group: its faces' vectors, and the row of each user by user_id."""

    app_id: int
    group_id: str
    vectors: Vectors = field(default_factory=Vectors)
    users: dict[str, int] = field(default_factory=dict)
    size: int = 0
    """users"""


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """A user and the cosine of their best face. The best sort first; equal ones by the age of the face."""

    distance: float
    """minus the cosine"""
    face_id: int
    user: int


class Gallery:
    """Every app's groups; faces of other models than `model` are left out, never mixed in."""

    def __init__(self, model: str) -> None:
        self.model = model
        self._groups: dict[int, Group] = {}
        self._named: dict[tuple[int, str], int] = {}
        # Users by row; `_first` is the row of their newest face, from which `_next` leads to the others.
        self._users = Rows()
        self._group_of, self._first = array("q"), array("i")
        self._names: list[str] = []
        self._infos: list[str] = []
        # Faces by row.
        self._faces = Rows()
        self._user_of, self._next = array("i"), array("i")
        # Faces that another model measured, with their owners: empty but after the model changed.
        self._left_out: dict[int, int] = {}

    @property
    def waiting(self) -> int:
        """Faces that another model measured, and not the cloud: nobody is found by them."""
        return len(self._left_out)

    def __len__(self) -> int:
        """Faces."""
        return len(self._faces)

    # ---- changes

    def apply(self, delta: LibraryDelta) -> None:
        """Take over a change of the library."""
        leaving: Leaving = defaultdict(list)
        for group in delta.removed_groups:
            self._drop_group(group)
        for owner in delta.removed_users:
            self._drop_user(self._users.find(owner), leaving)
        for face_id in delta.removed_faces:
            self._left_out.pop(face_id, None)
            self._drop_face(self._faces.find(face_id), leaving)
        for users in delta.users:
            self._take_users(users, leaving)
        self._take_out(leaving)
        if self._left_out and (delta.removed_users or delta.removed_groups):
            self._left_out = {f: owner for f, owner in self._left_out.items() if self._users.find(owner) != NOWHERE}
        for faces in delta.faces:
            self._take_faces(faces)

    def _take_users(self, block: GroupUsers, leaving: Leaving) -> None:
        if not block:
            return
        group = self._groups.get(block.group)
        if group is None:
            group = self._groups[block.group] = Group(block.app_id, block.group_id)
            self._named[block.app_id, block.group_id] = block.group
        for owner, user_id, user_info, _ in block.rows():
            row = self._users.find(owner)
            if row != NOWHERE and self._group_of[row] != block.group:
                self._drop_user(row, leaving)
                row = NOWHERE
            if row == NOWHERE:
                row = self._new_user(owner, block.group)
                group.size += 1
            self._rename(group, row, user_id)
            self._infos[row] = user_info

    def _new_user(self, owner: int, group: int) -> int:
        row = self._users.take(owner)
        if row == len(self._names):
            self._group_of.append(group)
            self._first.append(NOWHERE)
            self._names.append("")
            self._infos.append("")
        self._group_of[row], self._first[row], self._names[row] = group, NOWHERE, ""
        return row

    def _rename(self, group: Group, row: int, user_id: str) -> None:
        if self._names[row] != user_id:
            self._forget_name(group, row)
            self._names[row] = user_id
        group.users[user_id] = row

    def _forget_name(self, group: Group, row: int) -> None:
        if group.users.get(self._names[row]) == row:
            del group.users[self._names[row]]

    def _take_faces(self, block: GalleryFaces) -> None:
        leaving: Leaving = defaultdict(list)
        # What comes twice counts once, as it came last.
        owned = zip(unpack(block.ids), unpack(block.owners), strict=True)
        last = {face_id: (i, owner) for i, (face_id, owner) in enumerate(owned)}
        coming: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for face_id, (i, owner) in last.items():
            self._left_out.pop(face_id, None)
            self._drop_face(self._faces.find(face_id), leaving)
            user = self._users.find(owner)
            if user == NOWHERE or block.model == CLOUD_MODEL:
                continue
            if block.model == self.model:
                self._new_face(face_id, user)
                coming[self._group_of[user]].append((face_id, i))
            else:
                self._left_out[face_id] = owner
        self._take_out(leaving)
        embeddings = np.frombuffer(block.embeddings, "<f4").reshape(max(1, len(block)), -1)
        for group, faces in coming.items():
            ids, rows = np.array(faces, np.int64).T
            self._groups[group].vectors.add(ids, embeddings[rows])

    def _new_face(self, face_id: int, user: int) -> None:
        row = self._faces.take(face_id)
        if row == len(self._user_of):
            self._user_of.append(NOWHERE)
            self._next.append(NOWHERE)
        self._user_of[row], self._next[row], self._first[user] = user, self._first[user], row

    def _take_out(self, leaving: Leaving) -> None:
        """Of groups that are still there; one that nobody is left in goes too."""
        for number, ids in leaving.items():
            group = self._groups.get(number)
            if group is not None and not group.size:
                self._forget_group(number)
            elif group is not None and ids:
                group.vectors.remove(np.array(ids, np.int64))

    def _drop_face(self, row: int, leaving: Leaving) -> None:
        if row == NOWHERE:
            return
        user = self._user_of[row]
        leaving[self._group_of[user]].append(self._faces.ids[row])
        if self._first[user] == row:
            self._first[user] = self._next[row]
        else:
            before = next(other for other in self._faces_of(user) if self._next[other] == row)
            self._next[before] = self._next[row]
        self._faces.free(row)
        self._user_of[row] = NOWHERE

    def _drop_user(self, row: int, leaving: Leaving) -> None:
        if row == NOWHERE:
            return
        for face in self._faces_of(row):
            self._drop_face(face, leaving)
        number = self._group_of[row]
        leaving[number]  # named even if the user has no faces: the group may be empty now
        group = self._groups[number]
        group.size -= 1
        self._forget_name(group, row)
        self._users.free(row)
        self._group_of[row], self._names[row], self._infos[row] = NOWHERE, "", ""

    def _drop_group(self, number: int) -> None:
        """All at once: users one by one would hold up the door for seconds when 800,000 leave."""
        if number not in self._groups:
            return
        self._forget_group(number)
        group_of, user_of = np.frombuffer(self._group_of, np.int64), np.frombuffer(self._user_of, np.int32)
        gone = group_of == number
        faces = np.flatnonzero(gone[user_of] & (user_of != NOWHERE)).astype(np.int32)
        users = np.flatnonzero(gone).astype(np.int32)
        user_of[faces], group_of[users] = NOWHERE, NOWHERE
        self._faces.free_all(faces)
        self._users.free_all(users)
        for row in users.tolist():
            self._names[row] = self._infos[row] = ""

    def _forget_group(self, number: int) -> None:
        group = self._groups.pop(number)
        name = (group.app_id, group.group_id)
        if self._named.get(name) == number:
            del self._named[name]

    def _faces_of(self, user: int) -> list[int]:
        rows, row = [], self._first[user]
        while row != NOWHERE:
            rows.append(row)
            row = self._next[row]
        return rows

    # ---- search

    def search(self, probes: Floats, hunt: Hunt) -> list[tuple[Candidate, ...]]:
        """For each of Q unit vectors Q×128 the nearest users of the hunt's groups, best first; costs no more than the
        faces in those groups."""
        found: list[list[Found]] = [[] for _ in probes]
        for group_id in dict.fromkeys(hunt.groups):
            group = self._groups.get(self._named.get((hunt.app_id, group_id), NOWHERE))
            if group is not None and len(probes):
                here = self._one(group, probes, hunt.user_id) if hunt.user_id else self._nearest(group, probes, hunt)
                for all_of_probe, of_probe in zip(found, here, strict=True):
                    all_of_probe += of_probe
        return [tuple(map(self._candidate, sorted(users)[: hunt.users])) for users in found]

    def _nearest(self, group: Group, probes: Floats, hunt: Hunt) -> list[list[Found]]:
        """The `users` nearest of a group, for each probe: asks for more faces until there are users enough."""
        faces = 2 * hunt.users
        while True:
            cosines, ids = group.vectors.search(probes, faces)
            found = self._by_user(cosines, ids)
            if faces >= len(group.vectors) or all(len(users) >= hunt.users for users in found):
                return found
            faces *= 4

    def _one(self, group: Group, probes: Floats, user_id: str) -> list[list[Found]]:
        """The named user of a group, for each probe."""
        user = group.users.get(user_id)
        faces = [] if user is None else [self._faces.ids[row] for row in self._faces_of(user)]
        cosines, ids = group.vectors.search(probes, len(faces), np.array(faces, np.int64))
        return self._by_user(cosines, ids)

    def _by_user(self, cosines: Floats, ids: NDArray[np.int64]) -> list[list[Found]]:
        """Each user once, with the best face, for each of Q probes."""
        return [self._best_faces(*of_probe) for of_probe in zip(cosines.tolist(), ids.tolist(), strict=True)]

    def _best_faces(self, cosines: list[float], face_ids: list[int]) -> list[Found]:
        best: dict[int, Found] = {}
        for cosine, face_id in zip(cosines, face_ids, strict=True):
            user = self._user_of[self._faces.find(face_id)]
            found = Found(-round(cosine, ROUNDED), face_id, user)
            best[user] = min(found, best.get(user, found))
        return list(best.values())

    def _candidate(self, found: Found) -> Candidate:
        group = self._groups[self._group_of[found.user]]
        return Candidate(
            group_id=group.group_id,
            user_id=self._names[found.user],
            user_info=self._infos[found.user],
            score=score100(-found.distance, self.model),
        )
