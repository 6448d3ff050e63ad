"""Tokens of faces that are not registered: bounded, for an hour, shared through the registry."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.baidu_api.loose_faces import AGAIN_S, MAX_WAITING, LooseFaces
from shared.contracts.library import LOOSE_FOR_S, MAX_KEPT, MAX_KEPT_BYTES, App, KeepFaces, StoredFace
from shared.errors import InvalidInput
from shared.runtime import background
from shared.testing import eventually
from tests.unit.gateway.baidu.library_double import LibraryDouble

FACE = StoredFace(jpeg=b"\xff\xd8" + bytes(98), box=(1, 2, 3, 4))


class Hour:
    """A clock by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def library() -> LibraryDouble:
    return LibraryDouble()


@pytest.fixture
def app(library: LibraryDouble) -> App:
    return library.add_key().app


def token(number: int) -> str:
    return f"{number:032x}"


def kept(library: LibraryDouble) -> int:
    return len(batches(library))


def batches(library: LibraryDouble) -> list[int]:
    """How many faces each message had."""
    return [len(command.faces) for command in library.asked if isinstance(command, KeepFaces)]


async def test_a_face_is_there_at_once_and_for_an_hour(library: LibraryDouble, app: App) -> None:
    clock = Hour()
    loose = LooseFaces(library, clock)  # type: ignore[arg-type]
    loose.remember(app, token(1), FACE)
    assert await loose.find(app, token(1)) == FACE
    clock.now = LOOSE_FOR_S - 1
    assert await loose.find(app, token(1)) == FACE
    clock.now = LOOSE_FOR_S
    with pytest.raises(InvalidInput) as gone:
        await loose.find(app, token(1))
    assert gone.value.number == 222209
    with pytest.raises(InvalidInput):
        await loose.find(app.model_copy(update={"app_id": 2}), token(1))


async def test_the_registry_learns_of_it_in_the_background(library: LibraryDouble, app: App) -> None:
    clock = Hour()
    loose = LooseFaces(library, clock)  # type: ignore[arg-type]
    for _ in range(3):
        loose.remember(app, token(1), FACE)

    async def told(times: int) -> bool:
        return kept(library) == times

    async with background(loose.keep()):
        await eventually(lambda: told(1), what="the registry is told, once")
        clock.now = AGAIN_S
        loose.remember(app, token(1), FACE)
        await eventually(lambda: told(2), what="an hour from the last time it was seen, or nearly")
        library.is_away = True
        loose.remember(app, token(2), FACE)
        await eventually(lambda: _empty(loose), what="an outage is survived")
        library.is_away = False
        loose.remember(app, token(3), FACE)
        await eventually(lambda: told(3))
    assert library.kept.keys() == {(1, token(1)), (1, token(3))}


async def _empty(loose: LooseFaces) -> bool:
    return not loose._waiting


@pytest.mark.parametrize(
    ("size", "expected"), [(100, [MAX_KEPT, 4]), (MAX_KEPT_BYTES // 3, [3] * 6 + [2]), (MAX_KEPT_BYTES, [1] * 20)]
)
async def test_what_gathers_goes_together_as_far_as_a_message_reaches(
    library: LibraryDouble, app: App, size: int, expected: list[int]
) -> None:
    loose = LooseFaces(library)  # type: ignore[arg-type]
    for number in range(20):
        loose.remember(app, token(number), StoredFace(jpeg=bytes(size), box=(1, 2, 3, 4)))

    async def all_kept() -> bool:
        return len(library.kept) == 20

    async with background(loose.keep()):
        await eventually(all_kept)
    assert batches(library) == expected


async def test_memory_is_bounded(library: LibraryDouble, app: App) -> None:
    loose = LooseFaces(library, room=1_000)  # type: ignore[arg-type]
    for number in range(MAX_WAITING + 20):
        loose.remember(app, token(number), FACE)
    assert len(loose._faces) == 10
    assert len(loose._waiting) == MAX_WAITING
    with capture_logs() as logged:
        async with background(loose.keep()):
            await eventually(lambda: _told(logged), what="that some were dropped is said once")
    assert [line["count"] for line in logged] == [20]
    assert await loose.find(app, token(MAX_WAITING + 19)) == FACE, "in memory"
    assert await loose.find(app, token(0)) == FACE, "at the registry"
    with pytest.raises(InvalidInput):
        await loose.find(app, token(MAX_WAITING + 1))


async def _told(logged: list[Any]) -> bool:
    return bool(logged)


async def test_old_pictures_are_forgotten(library: LibraryDouble, app: App) -> None:
    clock = Hour()
    loose = LooseFaces(library, clock)  # type: ignore[arg-type]
    loose.remember(app, token(1), FACE)
    clock.now = LOOSE_FOR_S
    loose.remember(app, token(2), FACE)

    async def one_is_left() -> bool:
        return [key[1] for key in loose._faces] == [token(2)]

    async with background(loose.keep()):
        await eventually(one_is_left)
    assert loose._size == len(FACE.jpeg)
