"""Exact search: whatever is added, changes hands and is removed, the answer is that of brute force."""

from collections.abc import Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from recognizer.index import Index
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryDelta, UserRow
from shared.contracts.people import Gender, Person
from shared.vision.centring import plain_scale
from shared.vision.crowd import CENTRED_FROM, likeness
from shared.vision.embedder import model_id

MODEL = "m"


def unit(rng: np.random.Generator) -> NDArray[np.float32]:
    vector = rng.standard_normal(128).astype(np.float32)
    return vector / np.linalg.norm(vector)


def a_person(student_id: int, name: str = "学生") -> Person:
    return Person(student_id=student_id, num=str(student_id), name=name, class_name="一班", gender=Gender.MAN)


def a_user(owner: int, student_id: int, group: int = 1) -> GroupUsers:
    return GroupUsers.of(1, group, "students", [UserRow(owner, f"u{owner}", student_id=student_id)])


def a_face(face_id: int, owner: int, vector: NDArray[np.float32], model: str = MODEL) -> GalleryFaces:
    return GalleryFaces.of(model, [FaceRow(face_id, owner, vector.astype("<f4").tobytes())])


def a_delta(*faces: GalleryFaces, revision: int = 1, owners: Iterable[int] = ()) -> LibraryDelta:
    """Faces of owners who each are the student of the same number."""
    everybody = set(owners) | {row.owner for block in faces for row in block.rows()}
    users = tuple(a_user(owner, owner) for owner in everybody)
    return LibraryDelta(revision=revision, head=revision, users=users, faces=faces)


def test_an_empty_index_finds_nobody() -> None:
    assert Index(MODEL).search(unit(np.random.default_rng(0))) is None


@pytest.mark.parametrize("seed", range(5))
def test_search_equals_brute_force_after_any_history(seed: int) -> None:
    rng = np.random.default_rng(seed)
    index, truth = Index(MODEL), {}
    for revision in range(1, 600):
        if truth and rng.random() < 0.3:
            gone = int(rng.choice(list(truth)))
            del truth[gone]
            index.apply(LibraryDelta(revision=revision, head=revision, removed_faces=(gone, 10**9)))
        else:
            owner, vector, face = int(rng.integers(1, 40)), unit(rng), int(rng.integers(1, revision + 1))
            truth[face] = (owner, vector)  # a face seen before may change hands
            index.apply(a_delta(a_face(face, owner, vector), revision=revision))
        assert len(index) == len(truth)
    people = {owner: np.stack([v for o, v in truth.values() if o == owner]) for owner, _ in truth.values()}
    rows = {owner: likeness(vectors) for owner, vectors in people.items()}
    for _ in range(50):
        probe = unit(rng)
        (cosine, owner), (other, _), *_ = sorted(((float(v @ probe), o) for o, v in rows.items()), reverse=True)
        match = index.search(probe)
        assert match is not None
        assert match.student_id == owner
        assert match.cosine == pytest.approx(cosine, abs=1e-6)
        assert match.runner_up == pytest.approx(other, abs=1e-6)


def near(vector: NDArray[np.float32], rng: np.random.Generator, share: float = 0.7) -> NDArray[np.float32]:
    """A unit vector with about this cosine to `vector`."""
    mixed = share * vector + np.sqrt(1 - share**2) * unit(rng)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


def test_several_photos_are_one_likeness_better_than_each() -> None:
    rng = np.random.default_rng(5)
    person = unit(rng)
    photos = np.stack([near(person, rng) for _ in range(5)])
    assert likeness(photos) @ person > (photos @ person).max() + 0.1


def test_somebody_elses_photo_is_left_out() -> None:
    rng = np.random.default_rng(6)
    person = unit(rng)
    photos = np.stack([near(person, rng) for _ in range(3)])
    assert likeness(np.vstack([photos, unit(rng)])) == pytest.approx(likeness(photos))


def test_of_photos_that_all_disagree_all_count() -> None:
    rng = np.random.default_rng(7)
    photos = np.stack([unit(rng) for _ in range(4)])
    mean = photos.mean(axis=0)
    assert likeness(photos) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def leaning(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Strangers who lean to one side, as faces do."""
    vectors = rng.standard_normal((count, 128)).astype(np.float32)
    vectors[:, 0] += 5
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("count", [CENTRED_FROM - 1, CENTRED_FROM, 400])
def test_a_large_gallery_is_searched_from_its_centre(count: int) -> None:
    rng, model = np.random.default_rng(8), model_id(flip=False)
    gallery, probe, scale = leaning(rng, count), leaning(rng, 1)[0], plain_scale(model_id(flip=False))
    index = Index(model)
    index.apply(a_delta(*(a_face(n, n, v, model) for n, v in enumerate(gallery, start=1))))
    centre = gallery.mean(axis=0) if count >= CENTRED_FROM else np.zeros(128)
    rows, seen = gallery - centre, probe - centre
    cosines = np.sort(rows @ seen / np.linalg.norm(rows, axis=1) / np.linalg.norm(seen))[::-1]
    match = index.search(probe)
    assert match is not None
    assert scale is not None
    wanted = [scale(c) if count >= CENTRED_FROM else c for c in cosines[:2]]
    assert [match.cosine, match.runner_up] == pytest.approx(wanted, abs=1e-5)


def test_the_matrix_grows_past_its_first_size() -> None:
    rng = np.random.default_rng(1)
    vectors = [unit(rng) for _ in range(3_000)]
    index = Index(MODEL)
    index.apply(a_delta(*(a_face(n, n, v) for n, v in enumerate(vectors, start=1))))
    for n in (1, 1024, 1025, 3_000):
        match = index.search(vectors[n - 1])
        assert match is not None
        assert (match.student_id, match.cosine) == (n, pytest.approx(1, abs=1e-5))


def test_a_face_sent_twice_is_one_face() -> None:
    vector, index = unit(np.random.default_rng(2)), Index(MODEL)
    for _ in range(2):
        index.apply(a_delta(a_face(1, 1, vector)))
    assert len(index) == 1


def test_the_runner_up_is_another_person_not_the_same_persons_other_photo() -> None:
    vector, index = unit(np.random.default_rng(3)), Index(MODEL)
    index.apply(a_delta(a_face(1, 7, vector), a_face(2, 7, vector)))
    match = index.search(vector)
    assert match is not None
    assert match.runner_up == -1


def test_faces_of_another_model_are_never_mixed_in() -> None:
    index = Index(MODEL)
    index.apply(a_delta(a_face(1, 1, unit(np.random.default_rng(4)), "other")))
    assert len(index) == 0


def test_a_face_that_another_model_made_anew_is_forgotten() -> None:
    vector, index = unit(np.random.default_rng(9)), Index(MODEL)
    index.apply(a_delta(a_face(1, 1, vector)))
    index.apply(a_delta(a_face(1, 1, vector, "other"), revision=2))
    assert (len(index), index.search(vector)) == (0, None)


def test_users_who_are_no_students_are_left_out() -> None:
    vector, index = unit(np.random.default_rng(10)), Index(MODEL)
    index.apply(LibraryDelta(revision=1, head=1, users=(a_user(1, 0),), faces=(a_face(1, 1, vector),)))
    assert len(index) == 0


def test_faces_of_all_users_of_a_student_are_his_and_leave_with_user_and_group() -> None:
    rng, index = np.random.default_rng(11), Index(MODEL)
    one, other, third = (unit(rng) for _ in range(3))
    users = (a_user(1, 7, group=1), a_user(2, 7, group=2), a_user(3, 8, group=2))
    faces = (a_face(1, 1, one), a_face(2, 2, other), a_face(3, 3, third))
    index.apply(LibraryDelta(revision=1, head=1, users=users, faces=faces))
    both = index.search(likeness(np.stack([one, other])))
    assert both is not None
    assert (both.student_id, both.cosine) == (7, pytest.approx(1, abs=1e-6))
    index.apply(LibraryDelta(revision=2, head=2, removed_groups=(2,)))
    alone = index.search(one)
    assert alone is not None
    assert (alone.student_id, alone.cosine, alone.runner_up) == (7, pytest.approx(1, abs=1e-6), -1)
    index.apply(LibraryDelta(revision=3, head=3, removed_users=(1,)))
    assert (len(index), index.search(one)) == (0, None)


def test_a_user_who_becomes_another_student_brings_the_faces_again() -> None:
    vector, index = unit(np.random.default_rng(12)), Index(MODEL)
    index.apply(a_delta(a_face(1, 1, vector)))
    index.apply(LibraryDelta(revision=2, head=2, users=(a_user(1, 9),), faces=(a_face(1, 1, vector),)))
    match = index.search(vector)
    assert match is not None
    assert (match.student_id, match.runner_up, len(index)) == (9, -1, 1)


def test_people_are_renamed_and_removed() -> None:
    index = Index(MODEL)
    index.apply(LibraryDelta(revision=1, head=1, people=(a_person(1, "旧"),)))
    index.apply(LibraryDelta(revision=2, head=2, people=(a_person(1, "新"),)))
    assert index.people[1].name == "新"
    index.apply(LibraryDelta(revision=3, head=3, removed_people=(1,)))
    assert index.people == {}
    assert index.revision == 3
