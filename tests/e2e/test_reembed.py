"""After an upgrade that changed the face model everybody is recognised again, while the doors stay open."""

from pathlib import Path

import pytest

from rollcall.local import CannotStart, System
from rollcall.office import bus_of
from rollcall.reembed import in_background, measure_again, reembed
from shared.bus import Bus
from shared.contracts.library import EnrolledFace, FaceAction, PutFace
from shared.contracts.moving import CopyUsers, GetFaceCopy
from shared.contracts.recognition import GetModel
from shared.testing import eventually
from tests.systems import a_system, data_url, died, photos, pid, register, rows, web_client

OLD = "sface-2021dec/1"
PEOPLE = {"s1": "Jacinda Ardern", "s2": "Barack Obama", "s3": "Emmanuel Macron"}


class Crash(Exception):
    """The command ends half-way."""


def crash(line: str) -> None:
    """At the first word of progress."""
    raise Crash(line)


async def make_old(system: System) -> None:
    """Three students, registered as ever, whose embeddings then become those of another model."""
    async with web_client(system) as web, bus_of(system.options.data) as bus:
        for num, name in PEOPLE.items():
            assert (await register(web, num, name, photos()[name][0])).status_code == 303
        copies = await bus.ask(CopyUsers())
        for user in copies.users:
            face = await bus.ask(GetFaceCopy(app_id=copies.app_id, face_id=user.faces[0].face_id))
            await put(bus, copies.app_id, user.user_id, face.jpeg, face.box)
        await waiting(bus, len(PEOPLE))


async def put(bus: Bus, app_id: int, user_id: str, jpeg: bytes, box: tuple[float, float, float, float]) -> None:
    vector = b"\x00\x00\x80\x3f" + bytes(508)
    face = EnrolledFace(model=OLD, embedding=vector, jpeg=jpeg, box=box)
    asked = {"app_id": app_id, "group_id": "students", "user_id": user_id, "action": FaceAction.REPLACE}
    await bus.ask(PutFace(face=face, **asked))


async def waiting(bus: Bus, count: int) -> None:
    async def so_many() -> bool:
        return (await bus.ask(GetModel())).waiting == count

    await eventually(so_many, 20, f"{count} photos wait")


async def recognised(system: System) -> list[str]:
    """The numbers that other photos of the students get."""
    found = []
    async with web_client(system) as web:
        for name in PEOPLE.values():
            answer = (await web.post("/clockin", json={"img_data": data_url(photos()[name][1])})).json()
            found.append(answer["dict"]["num"] if answer["errno"] == 0 else "")
    return found


def kept(system: System) -> list[tuple[object, ...]]:
    """What must stay as it is."""
    return rows(system, "select id, face_token, photo_id, box_left, box_top, box_width, box_height from faces")


def models(system: System) -> list[object]:
    return [model for (model,) in rows(system, "select model from faces order by id")]


async def test_a_run_that_breaks_off_half_way_is_gone_on_with(tmp_path: Path) -> None:
    async with a_system(tmp_path / "data") as system:
        await make_old(system)
        before = kept(system)
        assert await recognised(system) == ["", "", ""]
        async with bus_of(system.options.data) as bus:
            with pytest.raises(Crash):
                await measure_again(bus, crash)
            assert models(system).count(OLD) == 2
            name = "recognizer-1"
            old_pid = pid(system, name)
            system.children[name].kill()
            await reembed(system.options.data)
            await died(system, name, old_pid)
            await waiting(bus, 0)
        assert OLD not in models(system)
        assert kept(system) == before
        assert await recognised(system) == list(PEOPLE)
        await reembed(system.options.data)
        assert kept(system) == before


async def test_up_does_it_by_itself_and_names_what_it_cannot_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_system(tmp_path / "data") as system:
        said: list[str] = []
        await in_background(system.options.data, said.append)
        assert said == [], "nothing waits, nothing is said"
        await make_old(system)
        async with bus_of(system.options.data) as bus:
            app_id = (await bus.ask(CopyUsers(limit=1))).app_id
            await put(bus, app_id, "s2", b"no picture at all", (1, 2, 3, 4))
            await waiting(bus, 3)
            await in_background(system.options.data, said.append)
            assert said[0].startswith("3 photo(s) were measured by another model")
            assert any(line.startswith("students/s2: cannot be measured again: ") for line in said)
            assert said[-1] == "2 photo(s) measured again; 1 cannot be, and need a new photo"
            await waiting(bus, 1)
        assert await recognised(system) == ["s1", "", "s3"]
        assert models(system).count(OLD) == 1
        with pytest.raises(CannotStart, match="photos above are kept"):
            await reembed(system.options.data)
        shown = capsys.readouterr()
        assert "students/s2: cannot be measured again" in shown.err
        assert "0 photo(s) measured again; 1 cannot be" in shown.out
