"""One damaged row must not keep everybody else from being recognised."""

import numpy as np
import pytest
from structlog.testing import capture_logs

from recognizer.gallery import Gallery
from recognizer.index import Index
from recognizer.screening import screened
from shared.contracts.gallery import FaceRow, GalleryFaces, GroupUsers, LibraryDelta, UserRow
from shared.contracts.people import Gender, Person
from shared.contracts.recognition import Hunt
from shared.vision.embedder import model_id

MODEL = model_id(flip=False)
GOOD = np.eye(3, 128, dtype=np.float32)
ADA = Person(student_id=7, num="u1", name="Ada", class_name="A", gender=Gender.WOMAN)


def a_delta(*vectors: np.ndarray, model: str = MODEL, owner: int = 5) -> LibraryDelta:
    """Face n, from 1, is vectors[n - 1]; all are of one student."""
    rows = [FaceRow(number, owner, vector.astype("<f4").tobytes()) for number, vector in enumerate(vectors, start=1)]
    users = GroupUsers.of(1, 3, "g", [UserRow(owner, "u1", "", 7)])
    return LibraryDelta(revision=1, head=1, people=(ADA,), users=(users,), faces=(GalleryFaces.of(model, rows),))


@pytest.mark.parametrize(
    "bad", [np.full(128, np.nan), GOOD[1] * 1.01, GOOD[1] * 0.9, np.full(128, np.inf), GOOD[1] * 0]
)
def test_a_bad_row_is_left_out_and_named(bad: np.ndarray) -> None:
    with capture_logs() as logged:
        delta = screened(a_delta(GOOD[0], bad, GOOD[2]), MODEL, 128)
    assert [(line["event"], line["faces"]) for line in logged] == [
        ("faces left out: their embeddings are damaged", [2])
    ]
    gallery, index = Gallery(MODEL), Index(MODEL)
    gallery.apply(delta)
    index.apply(delta)
    assert (len(gallery), len(index), index.revision) == (2, 2, 1)
    for probe in (GOOD[0], GOOD[2]):
        ((found,),) = gallery.search(probe[None], Hunt(app_id=1, groups=("g",)))
        assert (found.user_id, found.score) == ("u1", 100)


def test_a_face_that_came_damaged_replaces_what_was_there() -> None:
    gallery = Gallery(MODEL)
    gallery.apply(a_delta(*GOOD))
    with capture_logs():
        gallery.apply(screened(a_delta(GOOD[0], GOOD[1] * 2), MODEL, 128))
    assert len(gallery) == 2


def test_a_block_of_another_length_is_left_out() -> None:
    with capture_logs() as logged:
        delta = screened(a_delta(*GOOD[:, :64]), MODEL, 128)
    assert ([len(block) for block in delta.faces], delta.removed_faces) == ([0], (1, 2, 3))
    assert logged[0]["count"] == 3
    Gallery(MODEL).apply(delta)


def test_other_models_are_none_of_our_business() -> None:
    delta = a_delta(GOOD[0] * 3, model="other/1")
    assert screened(delta, MODEL, 128) is delta


def test_faces_of_other_models_wait_until_they_come_anew_or_leave() -> None:
    gallery = Gallery(MODEL)
    gallery.apply(a_delta(*GOOD, model="sface-2021dec/1"))
    assert (len(gallery), gallery.waiting) == (0, 3)
    gallery.apply(a_delta(GOOD[0]))
    assert (len(gallery), gallery.waiting) == (1, 2)
    gallery.apply(LibraryDelta(revision=2, head=2, removed_faces=(2,)))
    assert gallery.waiting == 1
    gallery.apply(LibraryDelta(revision=3, head=3, removed_users=(5,)))
    assert (len(gallery), gallery.waiting) == (0, 0)
    gallery.apply(a_delta(*GOOD, model="sface-2021dec/1"))
    gallery.apply(LibraryDelta(revision=4, head=4, removed_groups=(3,)))
    assert gallery.waiting == 0
    users = GroupUsers.of(1, 3, "g", [UserRow(5, "u1")])
    cloud = GalleryFaces.of("baidu-v3", [FaceRow(9, 5, b"")])
    gallery.apply(LibraryDelta(revision=5, head=5, users=(users,), faces=(cloud,)))
    assert gallery.waiting == 0
