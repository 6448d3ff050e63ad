"""Registration with Baidu's cloud, whole system: the saga, its crash points, later changes, and the reconciler."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from rollcall.baidu import Options, reconcile
from rollcall.local import System
from rollcall.office import bus_of
from shared.baidu.client import CloudSettings
from shared.baidu.twin import OURS
from shared.bus import connect
from shared.contracts.cloud import TakeFromCloud
from shared.contracts.people import DeleteStudent, EditStudent, Gender
from shared.testing import eventually
from tests.recorded_cloud import RecordedCloud, recorded_cloud
from tests.systems import a_system, data_url, died, freeze, photos, pid, ready_again, rows, web_client

ADA, BOB = "Jacinda Ardern", "Barack Obama"
GROUP = "students"


@pytest.fixture
async def cloud(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RecordedCloud]:
    """The environment of a system that recognises with it."""
    async with recorded_cloud() as running:
        given = {"engine": "baidu", "baidu_url": running.url, "baidu_qps": 50}
        given |= {"baidu_api_key": running.api_key, "baidu_secret_key": running.secret_key}
        for name, value in given.items():
            monkeypatch.setenv(f"ROLLCALL_{name.upper()}", str(value))
        yield running


@pytest.fixture
async def system(cloud: RecordedCloud, tmp_path: Path) -> AsyncIterator[System]:
    async with a_system(tmp_path / "data") as running:
        yield running


async def register(web: httpx.AsyncClient, num: str, person: str, *, photo: int = 0, **fields: str) -> httpx.Response:
    form = {"stu_name": person, "stu_class": "三年二班", "stu_num": num, "gender": "WOMAN", "consent": "yes"}
    form |= {"cloud_consent": "yes", **fields}
    return await web.post("/register", data=form, files={"photo": ("p.jpg", photos()[person][photo])})


def tokens(system: System, num: str) -> set[object]:
    """What the registry calls a student's faces."""
    wanted = "select f.face_token from faces f join face_users u on u.id = f.user_pk where u.user_id = ?"
    return {row[0] for row in rows(system, wanted.replace("?", f"'{num}'"))}


async def in_cloud(cloud: RecordedCloud, system: System, num: str) -> None:
    """Wait until the cloud has exactly what the registry has."""

    async def same() -> bool:
        return set(cloud.users.get(GROUP, {}).get(num, {})) == tokens(system, num)

    await eventually(same, 20, f"the cloud's {num} is the registry's")


async def test_a_student_is_in_both_or_in_none(system: System, cloud: RecordedCloud) -> None:
    async with web_client(system) as web:
        page = (await web.get("/register")).text
        assert 'name="cloud_consent"' in page
        refused = await register(web, "s1", ADA, cloud_consent="")
        assert "百度云" in refused.text
        assert not cloud.asked, "without consent nothing leaves"

        assert (await register(web, "s1", ADA)).status_code == 303
        assert set(cloud.users[GROUP]["s1"]) == tokens(system, "s1") != set()
        assert cloud.infos["s1"] == OURS

        cloud.finds = [("s1", 96.0)]
        answer = (await web.post("/clockin", json={"img_data": data_url(photos()[ADA][1])})).json()
        assert (answer["errno"], answer["dict"]["num"], answer["score"]) == (0, "s1", 96.0)
        assert answer["punch"]["state"] == "recorded"

        cloud.finds = []
        taken = await register(web, "s1", BOB)
        assert "学号已被注册" in taken.text
        assert set(cloud.users[GROUP]["s1"]) == tokens(system, "s1"), "the owner's face stands, and no other"

        cloud.fail("faceset/user/add", 223120)
        assert "活体检测未通过" in (await register(web, "s2", BOB)).text
        cloud.fail("faceset/user/add", "reset")
        assert (await register(web, "s2", BOB)).status_code == 503
        assert "s2" not in cloud.users[GROUP]
        assert len(rows(system, "select 1 from students")) == 1

        cloud.users[GROUP]["s3"], cloud.infos["s3"] = {"e" * 32: b"from before Rollcall"}, "VIP"
        assert "百度云中已有此学号的用户" in (await register(web, "s3", BOB)).text
        assert cloud.users[GROUP]["s3"] == {"e" * 32: b"from before Rollcall"}


async def test_two_who_want_one_number_at_once(system: System, cloud: RecordedCloud) -> None:
    """Both faces enter the cloud before the registry decides; the loser's is taken out again."""
    async with web_client(system) as web:
        cloud.fail("faceset/user/add", "slow", "slow", seconds=1.0)
        answers = await asyncio.gather(register(web, "s1", ADA), register(web, "s1", BOB))
        assert sorted(answer.status_code for answer in answers) == [200, 303]
        assert cloud.calls["faceset/user/add"] == 2, "both were in the cloud"
        await in_cloud(cloud, system, "s1")
        assert len(cloud.users[GROUP]["s1"]) == 1


async def test_undoing_one_registration_mends_what_it_did_to_another(system: System, cloud: RecordedCloud) -> None:
    """The slower of two took the faster one's face for left over, before the registry knew of it."""
    async with web_client(system) as web:
        assert (await register(web, "s1", ADA)).status_code == 303
    mine = cloud.users[GROUP].pop("s1")
    cloud.users[GROUP]["s1"] = {"e" * 32: b"the slower one's"}
    async with connect(system.running.nats_url, "gateway", system.keys.broker["gateway"]) as bus:
        await bus.ask(TakeFromCloud(num="s1", token="e" * 32))
    assert cloud.users[GROUP]["s1"] == mine


async def test_a_crash_between_the_cloud_and_the_registry(
    system: System, cloud: RecordedCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    async with web_client(system) as web:
        for num, person in (("s1", ADA), ("s2", BOB)):
            await crash_while_registering(system, cloud, web, num, person)
        assert set(cloud.users[GROUP]) == {"s1", "s2"}
        assert rows(system, "select 1 from students") == []

        listed = await reconciled(system, cloud, capsys)
        assert listed.count("left by a registration that did not end") == 2 + 1
        assert "Nothing was changed" in listed
        assert set(cloud.users[GROUP]) == {"s1", "s2"}, "a dry run changes nothing"

        assert (await register(web, "s1", BOB, photo=1)).status_code == 303
        assert set(cloud.users[GROUP]["s1"]) == tokens(system, "s1"), "what was left under the number is gone"

        assert "deleted there" in await reconciled(system, cloud, capsys, apply=True)
        assert set(cloud.users[GROUP]) == {"s1"}
        assert "agree" in await reconciled(system, cloud, capsys)


async def test_a_registry_that_answers_too_late_still_finds_the_face_in_the_cloud(
    system: System, cloud: RecordedCloud
) -> None:
    """It is frozen while the cloud takes the face in: whether it will write the student nobody knows, so the face
    stays; when it wakes it writes, once."""
    async with web_client(system) as web:
        web.timeout = httpx.Timeout(60)
        cloud.fail("faceset/user/add", "slow", seconds=1.0)
        asking = asyncio.create_task(register(web, "s1", ADA))
        await asked_to_add(cloud, 0)
        freeze(system, "registry")
        assert (await asking).status_code == 503
        assert rows(system, "select 1 from students") == []
        assert "s1" in cloud.users[GROUP]
        os.kill(pid(system, "registry"), signal.SIGCONT)

        async def written() -> bool:
            return tokens(system, "s1") == set(cloud.users[GROUP]["s1"])

        await eventually(written, 20, "the student is written with the face that the cloud has")
        assert len(rows(system, "select 1 from students")) == 1


async def asked_to_add(cloud: RecordedCloud, before: int) -> None:
    """Return when the cloud is asked to take a face in, beyond the `before` times that it was."""

    async def asked() -> bool:
        return cloud.calls["faceset/user/add"] > before

    await eventually(asked, 20, "the cloud is asked to add the face")


async def crash_while_registering(
    system: System, cloud: RecordedCloud, web: httpx.AsyncClient, num: str, person: str
) -> None:
    """The gateway is killed while the cloud takes its time to take the face in."""
    before, old = cloud.calls["faceset/user/add"], pid(system, "gateway")
    cloud.fail("faceset/user/add", "slow", seconds=1.0)
    asking = asyncio.create_task(register(web, num, person))

    await asked_to_add(cloud, before)
    system.children["gateway"].kill()
    with pytest.raises(httpx.HTTPError):
        await asking
    await died(system, "gateway", old)
    await ready_again(system, "gateway")

    async def left() -> bool:
        return num in cloud.users.get(GROUP, {})

    await eventually(left, 20, "the face is in the cloud")

    async def known() -> bool:
        return 'name="cloud_consent"' in (await web.get("/register")).text

    await eventually(known, 20, "the new gateway has heard of the engine")


async def reconciled(system: System, cloud: RecordedCloud, capsys: pytest.CaptureFixture[str], **options: bool) -> str:
    capsys.readouterr()
    keys = {"api_key": SecretStr(cloud.api_key), "secret_key": SecretStr(cloud.secret_key)}
    settings = CloudSettings(**keys, url=cloud.url, qps=50)
    await reconcile(system.options.data, settings, Options(grace_s=0.1, **options))
    return capsys.readouterr().out


async def test_the_office_changes_the_cloud_too(system: System, cloud: RecordedCloud) -> None:
    async with web_client(system) as web:
        assert (await register(web, "s1", ADA)).status_code == 303
    (photo,) = cloud.users[GROUP]["s1"].values()
    [[student_id]] = rows(system, "select id from students")
    assert isinstance(student_id, int)
    fields = {"name": "A", "class_name": "B", "gender": Gender.WOMAN, "by": "test"}
    async with bus_of(system.options.data) as bus:
        cloud.fail("faceset/user/add", "reset")  # told again until it is done
        await bus.ask(EditStudent(student_id=student_id, num="n1", **fields))
        await in_cloud(cloud, system, "n1")
        assert list(cloud.users[GROUP]["n1"].values()) == [photo]
        assert "s1" not in cloud.users[GROUP]

        await bus.ask(DeleteStudent(student_id=student_id, by="test"))

        async def gone() -> bool:
            return "n1" not in cloud.users[GROUP]

        await eventually(gone, 20, "the deleted student is gone from the cloud")


async def test_every_difference_is_listed_and_mended_as_far_as_was_allowed(
    system: System, cloud: RecordedCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    async with web_client(system) as web:
        assert (await register(web, "s1", ADA)).status_code == 303
        assert (await register(web, "s2", BOB)).status_code == 303
    users = cloud.users[GROUP]
    lost = users.pop("s1")
    users["s2"]["f" * 32] = b"somebody else's face"
    users["visitor"], cloud.infos["visitor"] = {"e" * 32: b"not ours"}, "VIP"
    listed = await reconciled(system, cloud, capsys)
    for line in ("s1", "not in the cloud"), ("s2", "other faces"), ("visitor", "not made by Rollcall"):
        assert any(row.startswith(line[0]) and line[1] in row for row in listed.splitlines())
    cloud.infos["s2"] = "VIP"
    assert "was not made by Rollcall" in await reconciled(system, cloud, capsys, apply=True)
    assert "f" * 32 in users["s2"]
    cloud.infos["s2"] = OURS
    mended = await reconciled(system, cloud, capsys, apply=True)
    assert users["s1"] == lost
    assert set(users["s2"]) == tokens(system, "s2")
    assert "left; --foreign deletes it" in mended
    assert "visitor" in users
    await reconciled(system, cloud, capsys, apply=True, foreign=True)
    assert "visitor" not in users
    assert "agree" in await reconciled(system, cloud, capsys)
