"""The public photos are the ones expected, or they are not used."""

from pathlib import Path

import pytest

from shared.sample_faces import PEOPLE, STRANGERS, NoPhotos, load
from tests.sample_faces import cache_dir, photos


def test_people_have_several_photos_and_strangers_one() -> None:
    everybody = photos()
    assert set(everybody) == set(PEOPLE) | set(STRANGERS)
    assert all(len(everybody[person]) >= 2 for person in PEOPLE)
    assert all(len(everybody[person]) == 1 for person in STRANGERS)
    assert len(set(sum(everybody.values(), ()))) == sum(map(len, everybody.values()))


def test_an_altered_photo_is_refused(tmp_path: Path) -> None:
    photos()
    for path in cache_dir().glob("*.jpg"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "obama.jpg").write_bytes(b"somebody else")
    with pytest.raises(NoPhotos, match=r"obama\.jpg"):
        load(tmp_path)


def test_no_index_is_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(NoPhotos, match="could not download the sample photos"):
        load(tmp_path)
