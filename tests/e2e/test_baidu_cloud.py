"""A second Rollcall as the cloud: the Baidu engine speaks to our own compatible API, in two whole systems; and what is
in the cloud is moved out of it again."""

import csv
from pathlib import Path

import pytest
from pydantic import SecretStr

from rollcall.baidu import Options, reconcile
from rollcall.local import System
from rollcall.moving import FromBaidu, import_baidu
from rollcall.office import BY, bus_of
from shared.baidu.client import CloudSettings, open_cloud
from shared.contracts.library import CreateKey
from shared.contracts.people import DeleteStudent
from shared.testing import eventually
from tests.systems import a_system, data_url, photos, rows, web_client

ADA, BOB, STRANGER = "Jacinda Ardern", "Barack Obama", "Rishi Sunak"
WITHIN = 10.0


async def key_of(system: System, app: str, quality: str = "NORMAL") -> CloudSettings:
    """A key to a face library of this system, as its customer would hold it."""
    async with bus_of(system.options.data) as bus:
        issued = await bus.ask(CreateKey(name=app, by=BY))
    return CloudSettings(
        api_key=SecretStr(issued.key.api_key),
        secret_key=issued.secret_key,
        url=system.running.url,
        qps=50,
        call_s=WITHIN,
        quality=quality,
        liveness="NONE",
    )


async def test_a_school_recognises_with_the_cloud_of_another_rollcall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_system(tmp_path / "cloud") as cloud:
        keys = await key_of(cloud, "school")
        given = {"engine": "baidu", "baidu_url": keys.url, "baidu_qps": 20, "baidu_liveness": "NONE"}
        given |= {"baidu_api_key": keys.api_key.get_secret_value()}
        given |= {"baidu_secret_key": keys.secret_key.get_secret_value()}
        for name, value in given.items():
            monkeypatch.setenv(f"ROLLCALL_{name.upper()}", str(value))
        async with a_system(tmp_path / "school") as school, web_client(school) as web, open_cloud(keys) as client:
            for num, person in (("s1", ADA), ("s2", BOB)):
                form = {"stu_name": person, "stu_class": "一班", "stu_num": num, "gender": "WOMAN"}
                form |= {"consent": "yes", "cloud_consent": "yes"}
                answer = await web.post("/register", data=form, files={"photo": ("p.jpg", photos()[person][0])})
                assert answer.status_code == 303, answer.text
            assert await client.users("students", 0, within=WITHIN) == ("s1", "s2")
            named = {row[0] for row in rows(school, "select face_token from faces")}
            assert named == {row[0] for row in rows(cloud, "select face_token from faces")}

            for person, num in ((ADA, "s1"), (BOB, "s2")):
                answer = (await web.post("/clockin", json={"img_data": data_url(photos()[person][1])})).json()
                assert (answer["errno"], answer["dict"]["num"]) == (0, num)
                assert answer["score"] >= 80
            stranger = (await web.post("/clockin", json={"img_data": data_url(photos()[STRANGER][0])})).json()
            assert stranger["errno"] == 222207

            again = await web.post("/register", data={**form, "stu_num": "s3"}, files={"photo": photos()[BOB][1]})
            assert "这张脸已经登记过了" in again.text

            await reconcile(school.options.data, keys, Options())
            assert "agree" in capsys.readouterr().out
            async with bus_of(school.options.data) as bus:
                [[student_id]] = rows(school, "select id from students where st_num = 's2'")
                await bus.ask(DeleteStudent(student_id=student_id, by="test"))

            async def gone() -> bool:
                return await client.users("students", 0, within=WITHIN) == ("s1",)

            await eventually(gone, 20, "the deleted student is gone from the cloud")


async def test_a_library_is_moved_out_of_the_cloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Users, groups and infos by the API; faces from the photos at hand; who stands in the list becomes a student."""
    folder = tmp_path / "photos"
    (folder / "u2").mkdir(parents=True)
    for path, jpeg in {
        "u1.jpg": photos()[ADA][0],
        "u2/a.jpg": photos()[BOB][0],
        "u2/b.jpg": photos()[BOB][1],
        "u3.jpg": photos()["Emmanuel Macron"][0],
        "u4.jpg": b"no picture",
    }.items():
        (folder / path).write_bytes(jpeg)
    listed = tmp_path / "students.csv"
    listed.write_text("user_id,name,class,gender\nu3,马克龙,一班,MAN\n", encoding="utf-8-sig")
    async with a_system(tmp_path / "cloud") as cloud, a_system(tmp_path / "school") as school:
        keys = await key_of(cloud, "old")
        async with open_cloud(keys) as client:
            for user in ("u1", "u2", "u3", "u4", "u5"):
                await client.add(photos()[ADA][0] + user.encode(), "g1", user, f"资料 {user}", within=WITHIN)
        report = tmp_path / "report.csv"
        asked = FromBaidu(keys, ("g1",), "moved", folder, listed, report)
        await import_baidu(school.options.data, asked)
        with report.open(encoding="utf-8-sig", newline="") as file:
            became = {row["user"]: row["result"] for row in csv.DictReader(file)}
        assert became.pop("u4").startswith("refused: ")
        assert became == {"u1": "moved", "u2": "moved", "u3": "registered as a student", "u5": "no photo at hand"}
        async with open_cloud(await key_of(school, "moved")) as own:
            assert await own.users("g1", 0, within=WITHIN) == ("u1", "u2")
            assert await own.user_info("g1", "u2", within=WITHIN) == "资料 u2"
            assert len(await own.faces("g1", "u2", within=WITHIN)) == 2
            (match,) = await own.search(photos()[ADA][1], "g1", threshold=80, within=WITHIN)
            assert match.user_id == "u1"
        assert rows(school, "select st_num, st_name from students") == [("u3", "马克龙")]
        assert rows(school, "select count(*) from app_keys where revoked_at is null")[0][0] == 1

        await import_baidu(school.options.data, asked)
        assert "there already" in capsys.readouterr().out
