"""Exact search: whatever is added and removed, the answer is that of brute force."""

import numpy as np
import pytest
from numpy.typing import NDArray

from recognizer.index import Index
from shared.contracts.people import GalleryFace, Gender, LibraryDelta, Person

MODEL = "m"


def unit(rng: np.random.Generator) -> NDArray[np.float32]:
    vector = rng.standard_normal(128).astype(np.float32)
    return vector / np.linalg.norm(vector)


def a_person(student_id: int, name: str = "学生") -> Person:
    return Person(student_id=student_id, num=str(student_id), name=name, class_name="一班", gender=Gender.MAN)


def a_face(face_id: int, owner: int, vector: NDArray[np.float32], model: str = MODEL) -> GalleryFace:
    return GalleryFace(face_id=face_id, student_id=owner, model=model, embedding=vector.astype("<f4").tobytes())


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
            owner, vector = int(rng.integers(1, 40)), unit(rng)
            truth[revision] = (owner, vector)
            delta = LibraryDelta(
                revision=revision, head=revision, people=(a_person(owner),), faces=(a_face(revision, owner, vector),)
            )
            index.apply(delta)
        assert len(index) == len(truth)
    for _ in range(50):
        probe = unit(rng)
        cosines = sorted(((float(v @ probe), owner) for owner, v in truth.values()), reverse=True)
        match = index.search(probe)
        assert match is not None
        assert match.student_id == cosines[0][1]
        assert match.cosine == pytest.approx(cosines[0][0], abs=1e-6)
        other = next(cosine for cosine, owner in cosines if owner != match.student_id)
        assert match.runner_up == pytest.approx(other, abs=1e-6)


def test_the_matrix_grows_past_its_first_size() -> None:
    rng = np.random.default_rng(1)
    vectors = [unit(rng) for _ in range(3_000)]
    faces = tuple(a_face(n, n, v) for n, v in enumerate(vectors, start=1))
    index = Index(MODEL)
    index.apply(LibraryDelta(revision=1, head=1, faces=faces))
    for n in (1, 1024, 1025, 3_000):
        match = index.search(vectors[n - 1])
        assert match is not None
        assert (match.student_id, match.cosine) == (n, pytest.approx(1, abs=1e-5))


def test_a_face_sent_twice_is_one_face() -> None:
    vector, index = unit(np.random.default_rng(2)), Index(MODEL)
    for _ in range(2):
        index.apply(LibraryDelta(revision=1, head=1, faces=(a_face(1, 1, vector),)))
    assert len(index) == 1


def test_the_runner_up_is_another_person_not_the_same_persons_other_photo() -> None:
    vector, index = unit(np.random.default_rng(3)), Index(MODEL)
    index.apply(LibraryDelta(revision=1, head=1, faces=(a_face(1, 7, vector), a_face(2, 7, vector))))
    match = index.search(vector)
    assert match is not None
    assert match.runner_up == -1


def test_faces_of_another_model_are_never_mixed_in() -> None:
    index = Index(MODEL)
    index.apply(LibraryDelta(revision=1, head=1, faces=(a_face(1, 1, unit(np.random.default_rng(4)), "other"),)))
    assert len(index) == 0


def test_people_are_renamed_and_removed() -> None:
    index = Index(MODEL)
    index.apply(LibraryDelta(revision=1, head=1, people=(a_person(1, "旧"),)))
    index.apply(LibraryDelta(revision=2, head=2, people=(a_person(1, "新"),)))
    assert index.people[1].name == "新"
    index.apply(LibraryDelta(revision=3, head=3, removed_people=(1,)))
    assert index.people == {}
    assert index.revision == 3
