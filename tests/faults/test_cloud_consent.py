"""Students who registered before the cloud came: their photos stay here until somebody says that they agreed."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from rollcall.baidu import Options, reconcile
from rollcall.office import bus_of
from shared.baidu.client import CloudSettings
from shared.contracts.people import EditStudent, Gender
from tests.recorded_cloud import recorded_cloud
from tests.systems import a_system, photos, register, rows, web_client


async def test_no_photo_leaves_that_nobody_was_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with recorded_cloud() as cloud, a_system(tmp_path / "data") as system:
        async with web_client(system) as web:
            assert "百度" not in (await web.get("/register")).text
            assert (await register(web, "s1", "Ada", photos()["Jacinda Ardern"][0])).status_code == 303
        keys = {"api_key": SecretStr(cloud.api_key), "secret_key": SecretStr(cloud.secret_key)}
        settings = CloudSettings(**keys, url=cloud.url, qps=50)
        data = system.options.data
        await reconcile(data, settings, Options(apply=True))
        assert "--upload sends them" in capsys.readouterr().out
        assert cloud.users == {}

        await reconcile(data, settings, Options(apply=True, upload=True))
        assert len(cloud.users["students"]["s1"]) == 1
        named = rows(system, "select face_token from faces")
        assert named == [(token,) for token in cloud.users["students"]["s1"]], "called by the cloud's token now"
        async with bus_of(data) as bus:  # and the photo still opens under it
            fields = {"name": "A", "class_name": "B", "gender": Gender.WOMAN, "by": "test"}
            [[student_id]] = rows(system, "select id from students")
            await bus.ask(EditStudent(student_id=student_id, num="s1", **fields))
        await reconcile(data, settings, Options())
        assert "agree" in capsys.readouterr().out
