"""A library out of one system and into an empty one: the same questions get the same answers."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rollcall.__main__ import main
from rollcall.local import CannotStart, System
from rollcall.moving import export, import_file
from shared.baidu.client import Cloud, open_cloud
from tests.e2e.test_baidu_cloud import key_of
from tests.systems import a_system, data_url, photos, register, rows, web_client

ADA, BOB, EMMANUEL, STRANGER = "Jacinda Ardern", "Barack Obama", "Emmanuel Macron", "Rishi Sunak"
PASS = "correct horse battery"
WITHIN = 10.0


async def answers(cloud: Cloud) -> dict[str, Any]:
    """Everything that a client of the library can see of it, but the times."""
    seen: dict[str, Any] = {}
    for group in await cloud.groups(0, within=WITHIN):
        users = await cloud.users(group, 0, within=WITHIN)
        seen[group] = {
            user: (
                await cloud.user_info(group, user, within=WITHIN),
                [face.face_token for face in await cloud.faces(group, user, within=WITHIN)],
            )
            for user in users
        }
        for person in (ADA, BOB, EMMANUEL, STRANGER):
            for number, jpeg in enumerate(photos()[person]):
                found = await cloud.search(jpeg, group, threshold=0, users=5, within=WITHIN)
                seen[f"{group} {person} {number}"] = [(m.user_id, m.user_info, m.score) for m in found]
    return seen


async def filled(system: System) -> dict[str, Any]:
    """Students, visitors with several photos, an empty group."""
    async with web_client(system) as web, open_cloud(await key_of(system, "default", quality="NONE")) as cloud:
        for num, person in (("s1", ADA), ("s2", BOB)):
            assert (await register(web, num, person, photos()[person][0])).status_code == 303
        await cloud.add(photos()[ADA][1], "students", "s1", "资料", within=WITHIN)
        for jpeg in photos()[EMMANUEL][:2]:
            await cloud.add(jpeg, "visitors", "v1", "访客", within=WITHIN)
        await cloud.add_group("empty", within=WITHIN)
        return await answers(cloud)


async def test_an_exported_library_answers_as_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "library.rollcall"
    async with a_system(tmp_path / "old") as old:
        before = await filled(old)
        people = rows(old, "select st_num, st_name, st_class, st_gender from students order by st_num")
        await export(old.options.data, file, "default", PASS)
        with pytest.raises(CannotStart, match="there already"):
            await export(old.options.data, file, "default", PASS)
    assert ADA.encode() not in file.read_bytes()
    async with a_system(tmp_path / "new") as new:
        with pytest.raises(CannotStart, match="passphrase is wrong"):
            await import_file(new.options.data, file, "default", lambda: "wrong horse battery")
        assert rows(new, "select 1 from students") == []
        await import_file(new.options.data, file, "default", lambda: PASS)
        async with open_cloud(await key_of(new, "default", quality="NONE")) as cloud:
            assert await answers(cloud) == before
        assert rows(new, "select st_num, st_name, st_class, st_gender from students order by st_num") == people
        capsys.readouterr()
        await import_file(new.options.data, file, "default", lambda: PASS)
        again = capsys.readouterr().out
        assert "2 students there already" in again
        assert "5 faces there already" in again
        async with open_cloud(await key_of(new, "default", quality="NONE")) as cloud:
            assert await answers(cloud) == before
        async with web_client(new) as web:
            answer = (await web.post("/clockin", json={"img_data": data_url(photos()[BOB][1])})).json()
            assert (answer["errno"], answer["dict"]["num"]) == (0, "s2")


async def test_a_face_never_becomes_somebody_elses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The number of a student of the file belongs to another person here: that one is left out, and named."""
    file = tmp_path / "library.rollcall"
    async with a_system(tmp_path / "old") as old:
        await filled(old)
        await export(old.options.data, file, "default", None)
    async with a_system(tmp_path / "new") as new:
        async with web_client(new) as web:
            assert (await register(web, "s1", STRANGER, photos()[STRANGER][0])).status_code == 303
        with pytest.raises(CannotStart, match="1 could not be taken in"):
            await import_file(new.options.data, file, "default", lambda: PASS)
        assert "students/s1: the number belongs to another student" in capsys.readouterr().err
        assert rows(new, "select st_num, st_name from students order by 1") == [("s1", STRANGER), ("s2", BOB)]
        faces = "select count(*) from faces f join face_users u on u.id = f.user_pk where u.user_id = 's1'"
        assert rows(new, faces) == [(1,)]


def test_the_commands_say_what_they_need(tmp_path: Path) -> None:
    runner = CliRunner()
    nowhere = ["--data", str(tmp_path / "none")]
    file = str(tmp_path / "f")
    said = runner.invoke(main, ["export", *nowhere, file, "--passphrase-stdin"], input="short\n")
    assert (said.exit_code, "at least 8 characters" in said.output) == (1, True)
    said = runner.invoke(main, ["export", *nowhere, file, "--passphrase-stdin"], input=f"{PASS}\n")
    assert (said.exit_code, "No Rollcall is running" in said.output) == (1, True)
    said = runner.invoke(main, ["baidu", "reconcile", *nowhere], input="an-api-key\na-secret\n", env={})
    assert (said.exit_code, "No Rollcall is running" in said.output) == (1, True)
    assert "an-api-key" not in said.output
    assert "a-secret" not in said.output
    assert not Path(file).exists()
