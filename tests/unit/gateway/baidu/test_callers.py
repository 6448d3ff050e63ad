"""Who may call: tokens, keys, signatures, limits (V3 §1.3, §1.6, §2.1, §2.2)."""

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from aip.base import AipBase

from gateway.baidu_api import signatures
from gateway.baidu_api.callers import KNOWN_S, REMEMBERED, WRONG_KEYS, Callers, Quotas
from gateway.baidu_api.tokens import LIFETIME_S, AccessTokens, Owner
from shared.contracts.library import CheckKey, FindKey, KeyRevoked
from shared.errors import InvalidInput
from tests.unit.gateway.baidu.conftest import PREFIX, Api
from tests.unit.gateway.baidu.library_double import KeyPair, LibraryDouble
from tests.unit.gateway.pages.gateway_double import SECRET

GROUPS = PREFIX + "/faceset/group/getlist"


def keys(pair: KeyPair, **other: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_id": pair.api_key,
        "client_secret": pair.secret_key,
        **other,
    }


@pytest.mark.parametrize("how", ["query", "form", "form in the query", "json"])
async def test_a_token_is_got_by_get_and_by_post(api: Api, how: str) -> None:
    address, sent = "/oauth/2.0/token", keys(api.pair)
    match how:
        case "query":
            answer = await api.web.get(address, params=sent)
        case "form":
            answer = await api.web.post(address, data=sent)
        case "form in the query":
            answer = await api.web.post(address, params=sent)
        case _:
            answer = await api.web.post(address, json=sent)
    assert answer.status_code == 200
    said = answer.json()
    assert said["expires_in"] == 2_592_000
    assert "brain_all_scope" in said["scope"].split(" ")
    assert all(isinstance(said[name], str) for name in ("refresh_token", "session_key", "session_secret"))
    parts = said["access_token"].split(".")
    assert (parts[0], len(parts[1]), parts[2], parts[4]) == ("24", 32, "2592000", "1-1")
    assert abs(int(parts[3]) - time.time() - LIFETIME_S) < 60
    assert (await api.code("/faceset/group/getlist", {}, said["access_token"]))[0] == 0


@pytest.mark.parametrize(
    ("wrong", "status", "error", "description"),
    [
        ({"client_id": "AK_nobody"}, 401, "invalid_client", "unknown client id"),
        ({"client_id": ""}, 401, "invalid_client", "unknown client id"),
        ({"client_id": "A" * 129}, 401, "invalid_client", "unknown client id"),
        ({"client_id": "密钥"}, 401, "invalid_client", "unknown client id"),
        ({"client_secret": "guess"}, 401, "invalid_client", "Client authentication failed"),
        ({"client_secret": ""}, 401, "invalid_client", "Client authentication failed"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", None),
    ],
)
async def test_wrong_keys(api: Api, wrong: dict[str, str], status: int, error: str, description: str | None) -> None:
    answer = await api.web.get("/oauth/2.0/token", params=keys(api.pair) | wrong)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert description in (None, answer.json()["error_description"])


async def test_guessing_is_slowed_down_for_the_guesser_alone(api: Api) -> None:
    wrong = keys(api.pair, client_secret="guess")
    statuses = [(await api.web.get("/oauth/2.0/token", params=wrong)).status_code for _ in range(25)]
    assert statuses == [401] * int(WRONG_KEYS.burst) + [429] * 5
    asked = sum(isinstance(command, CheckKey) for command in api.library.asked)
    assert asked == WRONG_KEYS.burst + 1, "the registry is left alone"
    fresh = api.library.add_key()
    assert (await api.web.get("/oauth/2.0/token", params=keys(fresh))).status_code == 429
    assert await basic(api, "Bearer bce-v3/AK/SK") == (4, "Open api request limit reached")
    async with api.client("198.51.100.1") as other:
        assert (await other.get("/oauth/2.0/token", params=keys(fresh))).status_code == 200
    assert (await api.code("/faceset/group/getlist", {}))[0] == 0, "who has a token works on"


async def test_an_outage_of_the_registry(api: Api) -> None:
    fresh = api.library.add_key()
    api.library.is_away = True
    answer = await api.web.get("/oauth/2.0/token", params=keys(fresh))
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")


async def basic(api: Api, authorization: str = "", **query: str) -> tuple[int, str]:
    headers = {"authorization": authorization} if authorization else {}
    answer = (await api.web.post(GROUPS, params=query, headers=headers)).json()
    return answer["error_code"], answer["error_msg"]


OURS = Owner(1, 1)


def made(*, owner: Owner = OURS, at: float | None = None, secret: str = SECRET) -> str:
    return AccessTokens(secret).make(owner, time.time() if at is None else at)


async def test_tokens_that_do_not_hold(api: Api) -> None:
    missing = (100, "Invalid parameter")
    assert await basic(api) == missing
    assert await basic(api, access_token="") == missing
    assert await basic(api, access_token="abc") == missing
    assert await basic(api, "Bearer ") == missing
    invalid = (110, "Access token invalid or no longer valid")
    assert await basic(api, access_token=made(secret="another installation's secret")) == invalid
    foreign = f"24.{'a' * 32}.2592000.{int(time.time()) + 99}.282335-123"
    assert await basic(api, access_token=foreign) == invalid
    assert await basic(api, access_token=made(owner=Owner(99, 1))) == invalid
    assert await basic(api, access_token=made(owner=Owner(1, 2))) == invalid
    expired = made(at=time.time() - LIFETIME_S - 1)
    assert await basic(api, access_token=expired) == (111, "Access token expired")
    assert await basic(api, access_token=expired.replace("24.", "24.").replace(".1-1", ".1-2")) == invalid


async def test_a_bearer_header_will_do(api: Api) -> None:
    assert (await basic(api, f"Bearer {api.token}"))[0] == 0
    both = f"Bearer bce-v3/{api.pair.api_key}/{api.pair.secret_key}"
    assert (await basic(api, both))[0] == 0
    wrong = (14, "IAM Certification failed")
    assert await basic(api, both + "x") == wrong
    assert await basic(api, "Bearer bce-v3/nobody/x") == wrong
    assert await basic(api, "Bearer bce-v3/") == wrong


async def test_a_revoked_key_is_forgotten_at_once(api: Api) -> None:
    both = f"Bearer bce-v3/{api.pair.api_key}/{api.pair.secret_key}"
    assert (await basic(api, both))[0] == (await basic(api, access_token=api.token))[0] == 0
    api.library.revoke(api.pair)
    assert (await basic(api, access_token=api.token))[0] == 0, "remembered"
    await api.gateway.face_api.callers.forget(KeyRevoked(key_id=api.pair.app.key_id))
    assert (await basic(api, access_token=api.token))[0] == 110
    assert (await basic(api, both))[0] == 14


class Signer(AipBase):  # type: ignore[misc]
    """The official SDK's own signing."""

    def headers(self, url: str, params: dict[str, str], headers: dict[str, str] | None = None) -> dict[str, str]:
        self._isCloudUser = True
        return dict(self._getAuthHeaders("POST", url, params, headers))


JSON = {"Content-Type": "application/json"}


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
async def test_a_call_signed_by_the_python_sdk(api: Api) -> None:
    signer, query = Signer("app", api.pair.api_key, api.pair.secret_key), {"aipSdk": "python", "aipVersion": "4.15.13"}
    signed = signer.headers(f"http://localhost:8080{GROUPS}", dict(query), dict(JSON))

    async def code(headers: dict[str, str], method: str = "POST", path: str = GROUPS, **more: str) -> int:
        answer = await api.web.request(method, path, params={**query, **more}, headers=headers, content=b"{}")
        return int(answer.json()["error_code"])

    assert await code(signed) == 0
    assert await code(signed, aipVersion="4") == 14, "the query is signed"
    assert await code(signed, start="1") == 14
    assert await code(signed, path=PREFIX + "/faceset/group/add") == 14, "the path is signed"
    assert await code({**signed, "Host": "elsewhere"}) == 14
    assert await code({**signed, "authorization": signed["authorization"][:-1] + "0"}) in (0, 14)
    assert await code({**signed, "authorization": signed["authorization"][:-2] + "zz"}) == 14
    assert await code({**signed, "authorization": "bce-auth-v1/x"}) == 14
    headers = {name: value for name, value in signed.items() if name != "x-bce-date"}
    assert await code(headers) == 14, "a signed header is missing"
    thief = Signer("app", api.pair.api_key, "wrong secret").headers(f"http://localhost{GROUPS}", dict(query))
    assert await code(thief) == 14


def java_headers(pair: KeyPair, body: bytes, at: datetime, seconds: int = 1800, md5: str = "") -> dict[str, str]:
    """As CloudAuth.java signs: host, content-md5, content-length, content-type and x-bce-*, none of them named."""
    made = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    headers = {
        "host": "localhost",
        "content-length": str(len(body)),
        "content-type": "application/json",
        "content-md5": md5 or hashlib.md5(body).hexdigest(),
        "x-bce-date": made,
    }
    prefix = f"bce-auth-v1/{pair.api_key}/{made}/{seconds}"
    lines = "\n".join(sorted(f"{name}:{quote(value, '')}" for name, value in headers.items()))
    key = hmac.new(pair.secret_key.encode(), prefix.encode(), hashlib.sha256).hexdigest()
    canonical = f"POST\n{GROUPS}\naipSdk=java\n{lines}"
    signature = hmac.new(key.encode(), canonical.encode(), hashlib.sha256).hexdigest()
    return {**headers, "authorization": f"{prefix}//{signature}"}


async def java_call(api: Api, headers: dict[str, str], body: bytes = b'{"length":5}') -> int:
    answer = await api.web.post(GROUPS, params={"aipSdk": "java"}, headers=headers, content=body)
    return int(answer.json()["error_code"])


async def test_a_call_signed_as_the_java_sdk_does(api: Api) -> None:
    body, now = b'{"length":5}', datetime.now(UTC)
    assert await java_call(api, java_headers(api.pair, body, now)) == 0
    rfc = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert await java_call(api, java_headers(api.pair, body, now, md5=rfc)) == 0
    assert await java_call(api, java_headers(api.pair, body, now), b'{"length":6}') == 14, "another body"
    assert await java_call(api, java_headers(api.pair, body, now, seconds=999_999_999)) == 0


@pytest.mark.parametrize(
    ("age_s", "seconds", "code"),
    [(1_790, 1_800, 0), (1_810, 1_800, 14), (1_810, 36_000, 14), (90, 60, 14), (-290, 1_800, 0), (-310, 1_800, 14)],
)
async def test_a_signature_holds_for_a_while(api: Api, age_s: int, seconds: int, code: int) -> None:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    assert await java_call(api, java_headers(api.pair, b'{"length":5}', at, seconds)) == code


def test_a_signature_must_cover_the_host() -> None:
    now = datetime.now(UTC)
    prefix = f"bce-auth-v1/AK/{now:%Y-%m-%dT%H:%M:%SZ}/1800"
    with pytest.raises(InvalidInput) as refused:
        signatures.read(f"{prefix}/x-bce-date/{'0' * 64}", "POST", "/", [], {"host": "h", "x-bce-date": "d"}, now)
    assert refused.value.number == 14
    with pytest.raises(InvalidInput):
        signatures.read(f"bce-auth-v1/AK/2026-02-31T00:00:00Z/1/host/{'0' * 64}", "POST", "/", [], {"host": "h"}, now)


async def test_the_limit_of_an_app(api: Api) -> None:
    slow = api.library.add_key(app_id=3, qps=2)
    token = await api.get_token(slow)
    codes = [(await api.code("/faceset/group/getlist", {}, token)) for _ in range(4)]
    assert codes[:2] == [(0, "SUCCESS")] * 2
    assert (18, "Open api qps request limit reached") in codes
    assert (await api.code("/faceset/group/getlist", {}))[0] == 0, "other apps are not held up"


def test_a_quota_fills_again() -> None:
    at = [0.0]
    app = LibraryDouble().add_key(qps=0.5).app
    quotas = Quotas(lambda: at[0])
    quotas.take(app)
    with pytest.raises(InvalidInput):
        quotas.take(app)
    at[0] = 2.0
    quotas.take(app)
    for app_id in range(100, 2 * REMEMBERED):
        quotas.take(app.model_copy(update={"app_id": app_id}))
    assert len(quotas._buckets) == REMEMBERED


async def test_what_is_remembered_of_keys_is_bounded_and_short() -> None:
    api, at = Api(), [0.0]
    callers = Callers(api.library, SECRET, lambda: at[0])  # type: ignore[arg-type]
    token = made()

    async def ask() -> int:
        await callers._by_token(token)
        return sum(isinstance(command, FindKey) for command in api.library.asked)

    assert await ask() == 1
    assert await ask() == 1
    at[0] = KNOWN_S
    assert await ask() == 2
    for number in range(REMEMBERED + 10):
        callers._remember(number, api.pair.app)
    assert len(callers._known) == REMEMBERED
    await api.web.aclose()


async def test_nothing_is_done_for_whoever_has_no_token(api: Api) -> None:
    api.library.asked.clear()
    for path in [*api.gateway.face_api.on_fields, *api.gateway.face_api.on_items]:
        answer: httpx.Response = await api.web.post(PREFIX + path, json={})
        assert answer.json() == {"error_code": 100, "error_msg": "Invalid parameter"}, path
    assert api.library.asked == []
    assert api.vision.asked == []
    assert len({*api.gateway.face_api.on_fields, *api.gateway.face_api.on_items}) == 16


@pytest.mark.parametrize("name", ["x" * 5_000, "\x00", "24." + "0" * 5_000])
async def test_odd_tokens(api: Api, name: Any) -> None:
    assert (await basic(api, access_token=name))[0] == 100
