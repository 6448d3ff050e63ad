"""REST v1: the library's lists."""

import httpx
import pytest

from tests.unit.gateway.baidu.conftest import BASE64, Api


@pytest.fixture
async def filled(api: Api) -> Api:
    for user in ("ada", "bob", "eve"):
        image = {**BASE64, "group_id": f"of_{user}", "user_id": user, "user_info": f"我是 {user}"}
        await api.result("/faceset/user/add", image)
    return api


async def get(api: Api, path: str, token: str | None = None, **query: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {api.token if token is None else token}"}
    return await api.web.get("/api/v1" + path, headers=headers, params=query)  # type: ignore[arg-type]


async def test_lists(filled: Api) -> None:
    groups = await get(filled, "/groups")
    assert groups.json() == {"groups": ["of_ada", "of_bob", "of_eve"], "start": 0, "length": 100}
    page = await get(filled, "/groups", start=1, length=1)
    assert page.json() == {"groups": ["of_bob"], "start": 1, "length": 1}
    users = await get(filled, "/groups/of_ada/users")
    assert users.json() == {"users": ["ada"], "start": 0, "length": 100}
    faces = (await get(filled, "/groups/of_ada/users/ada/faces")).json()
    assert faces["user_info"] == "我是 ada"
    (face,) = faces["faces"]
    assert (len(face["face_token"]), face["created_at"]) == (32, "2026-03-01T00:01:02Z")


@pytest.mark.parametrize(
    ("path", "query", "status", "code"),
    [
        ("/groups", {"start": -1}, 400, 222046),
        ("/groups", {"length": 1001}, 400, 222046),
        ("/groups", {"length": "x"}, 400, 222046),
        ("/groups/no-such/users", {}, 400, 222046),
        ("/groups/none/users", {}, 404, 223100),
        ("/groups/of_ada/users/bob/faces", {}, 404, 223103),
    ],
)
async def test_errors(filled: Api, path: str, query: dict[str, object], status: int, code: int) -> None:
    answer = await get(filled, path, **query)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_same_keys_as_the_compatible_api(filled: Api) -> None:
    assert (await get(filled, "/groups", token="")).status_code == 401
    refused = await get(filled, "/groups", token="x" * 40)
    assert refused.headers["www-authenticate"] == "Bearer"
    pair = filled.pair
    assert (await get(filled, "/groups", token=f"bce-v3/{pair.api_key}/{pair.secret_key}")).status_code == 200
    assert (await filled.web.get("/api/v1/groups", params={"access_token": filled.token})).status_code == 200
    slow = filled.library.add_key(app_id=5, qps=1)
    token = await filled.get_token(slow)
    statuses = [(await get(filled, "/groups", token=token)).status_code for _ in range(3)]
    assert statuses[0] == 200
    assert 429 in statuses
    filled.library.is_away = True
    assert (await get(filled, "/groups")).status_code == 503


async def test_it_describes_itself(api: Api) -> None:
    described = (await api.web.get("/api/v1/openapi.json")).json()
    assert described["paths"].keys() == {
        "/api/v1/groups",
        "/api/v1/groups/{group_id}/users",
        "/api/v1/groups/{group_id}/users/{user_id}/faces",
    }
    for path in described["paths"].values():
        assert path["get"]["responses"].keys() == {"200", "400", "401", "404", "429", "503"}
    assert described["security"] == [{"bearer": []}, {"access_token": []}]
