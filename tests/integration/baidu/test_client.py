"""The client against a real HTTP server that answers recorded shapes and misbehaves when told to."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from pydantic import SecretStr

from shared.baidu.client import Cloud, CloudSettings, open_cloud
from shared.baidu.limits import State
from shared.errors import CloudAway, CloudRefused, RollcallError, Unavailable
from shared.testing import eventually
from tests.recorded_cloud import RecordedCloud, recorded_cloud

PICTURE = b"\xff\xd8 any picture \xff\xd9"
WITHIN = 5.0


@pytest.fixture
async def service() -> AsyncIterator[RecordedCloud]:
    async with recorded_cloud() as running:
        yield running


def settings_for(service: RecordedCloud, **changed: object) -> CloudSettings:
    keys = {"api_key": SecretStr(service.api_key), "secret_key": SecretStr(service.secret_key)}
    return CloudSettings(**{**keys, "url": service.url, "qps": 200.0, "call_s": 1.0, "rest_s": 0.3, **changed})  # type: ignore[arg-type]


@asynccontextmanager
async def client(service: RecordedCloud, **changed: object) -> AsyncIterator[Cloud]:
    async with open_cloud(settings_for(service, **changed)) as cloud:
        yield cloud


async def test_the_recorded_shapes_are_read(service: RecordedCloud) -> None:
    async with client(service) as cloud:
        (face,) = await cloud.detect(PICTURE, within=WITHIN)
        assert face.quality is not None
        assert (face.quality.illumination, face.location.width, face.angle.pitch) == (146, 172, 7.36)
        token = await cloud.add(PICTURE, "g", "u1", "rollcall", within=WITHIN)
        assert [f.face_token for f in await cloud.faces("g", "u1", within=WITHIN)] == [token]
        assert await cloud.user_info("g", "u1", within=WITHIN) == "rollcall"
        assert await cloud.users("g", 0, within=WITHIN) == ("u1",)
        assert await cloud.groups(0, within=WITHIN) == ("g",)
        service.finds = [("u1", 99.116584777832), ("u2", 16.38)]
        (match,) = await cloud.search(PICTURE, "g", threshold=80, users=2, within=WITHIN)
        assert (match.user_id, match.score) == ("u1", 99.116584777832)
        await cloud.delete_face("g", "u1", token, within=WITHIN)
        assert await cloud.faces("g", "u1", within=WITHIN) == ()
    asked = dict(service.asked)
    assert asked["search"]["quality_control"] == "NORMAL"
    assert asked["search"]["liveness_control"] == "LOW"
    assert asked["faceset/user/add"]["action_type"] == "APPEND"


async def test_nobody_found_is_an_answer(service: RecordedCloud) -> None:
    async with client(service) as cloud:
        assert await cloud.search(PICTURE, "g", threshold=80, within=WITHIN) == ()


async def test_one_token_serves_all_who_come_at_once(service: RecordedCloud) -> None:
    async with client(service) as cloud:
        await asyncio.gather(*(cloud.detect(PICTURE, within=WITHIN) for _ in range(20)))
    assert service.calls["token"] == 1
    assert service.calls["detect"] == 20


async def test_a_token_is_kept_until_half_its_life(service: RecordedCloud) -> None:
    """On a clock of the test's own; the service gives tokens for an hour."""
    service.token_s = 3600
    clock = {"now": 0.0}
    async with httpx.AsyncClient(base_url=service.url) as http:
        cloud = Cloud(settings_for(service), http, lambda: clock["now"])
        for moment, fetched in ((1.0, 1), (1000.0, 1), (1800.0, 1), (1802.0, 2), (3000.0, 2)):
            clock["now"] = moment
            await cloud.detect(PICTURE, within=WITHIN)
            assert service.calls["token"] == fetched


@pytest.mark.parametrize("code", [110, 111])
async def test_a_refused_token_is_renewed_once_for_all(service: RecordedCloud, code: int) -> None:
    async with client(service) as cloud:
        await cloud.detect(PICTURE, within=WITHIN)
        service.end_token(code)
        await asyncio.gather(*(cloud.detect(PICTURE, within=WITHIN) for _ in range(5)))
    assert service.calls["token"] == 2
    assert 1 + 5 < service.calls["detect"] <= 1 + 5 + 5


async def test_a_token_that_is_refused_again_is_given_up(service: RecordedCloud) -> None:
    service.fail("detect", 110, 110)
    async with client(service) as cloud:
        with pytest.raises(CloudAway) as caught:
            await cloud.detect(PICTURE, within=WITHIN)
    assert caught.value.number == 110
    assert service.calls["detect"] == 2


async def test_refused_keys_are_named_and_not_quoted(service: RecordedCloud) -> None:
    async with client(service, secret_key=SecretStr("not-the-secret")) as cloud:
        with pytest.raises(CloudAway, match="does not take these keys") as caught:
            await cloud.detect(PICTURE, within=WITHIN)
    assert caught.value.number == 13
    assert "not-the-secret" not in repr(caught.value)


async def test_too_fast_is_waited_out(service: RecordedCloud) -> None:
    service.fail("search", 18, 18)
    service.finds = [("u1", 90.0)]
    async with client(service) as cloud:
        began = time.monotonic()
        assert await cloud.search(PICTURE, "g", threshold=80, within=WITHIN)
        took = time.monotonic() - began
        assert cloud.state is State.CLOSED
    assert service.calls["search"] == 3
    assert took >= 0.25 + 0.5, "each wait is at least half of 0.5 s, then of 1 s"


async def test_too_fast_for_too_long_is_said_in_time(service: RecordedCloud) -> None:
    service.fail("search", *[18] * 20)
    async with client(service) as cloud:
        began = time.monotonic()
        with pytest.raises(CloudAway):
            await cloud.search(PICTURE, "g", threshold=80, within=1.0)
        assert time.monotonic() - began < 6, "the tries that would follow take half a minute"


async def test_calls_of_one_interface_are_spaced_and_others_do_not_wait(service: RecordedCloud) -> None:
    async with client(service, qps=5.0) as cloud:
        await cloud.groups(0, within=WITHIN)  # the token is there now
        began = time.monotonic()
        await asyncio.gather(*(cloud.detect(PICTURE, within=WITHIN) for _ in range(4)))
        four = time.monotonic() - began
        began = time.monotonic()
        await cloud.search(PICTURE, "g", threshold=80, within=WITHIN)
        other = time.monotonic() - began
    assert four >= 0.6
    assert other < 0.2


@pytest.mark.parametrize(
    ("fault", "seconds", "said"),
    [
        ("reset", 0.0, "cannot be reached"),
        ("garbage", 0.0, "cannot be read"),
        ("http500", 0.0, "HTTP 500"),
        ("silence", 0.0, "did not answer within"),
        ("slow", 3.0, "did not answer within"),
    ],
)
async def test_a_broken_service_is_one_kind_of_error(
    service: RecordedCloud, fault: str, seconds: float, said: str
) -> None:
    async with client(service, call_s=0.3) as cloud:
        await cloud.groups(0, within=WITHIN)
        service.fail("detect", fault, seconds=seconds)
        with pytest.raises(CloudAway, match=said) as caught:
            await cloud.detect(PICTURE, within=WITHIN)
        assert isinstance(caught.value, Unavailable)
        assert await cloud.detect(PICTURE, within=WITHIN), "the next call is none the worse for it"


async def test_an_answer_of_the_wrong_shape_is_not_taken_for_one(service: RecordedCloud) -> None:
    service.quality = {"blur": "very"}
    async with client(service) as cloud:
        with pytest.raises(CloudAway, match="not what the contract says"):
            await cloud.detect(PICTURE, within=WITHIN)


async def test_the_circuit_opens_rests_and_tries_once(service: RecordedCloud) -> None:
    async with client(service, failures=3, rest_s=0.3) as cloud:
        service.fail("detect", *["reset"] * 4)
        for _ in range(3):
            with pytest.raises(CloudAway):
                await cloud.detect(PICTURE, within=WITHIN)
        assert cloud.state is State.OPEN
        with pytest.raises(CloudAway, match="given a rest"):
            await cloud.search(PICTURE, "g", threshold=80, within=WITHIN)
        assert service.calls["detect"] == 3
        assert service.calls["search"] == 0
        await ready_to_probe(cloud)
        with pytest.raises(CloudAway):
            await cloud.detect(PICTURE, within=WITHIN)
        assert service.calls["detect"] == 4, "one probe, and its failure opens again"
        await ready_to_probe(cloud)
        await asyncio.gather(*(quietly(cloud.detect(PICTURE, within=WITHIN)) for _ in range(5)))
        assert cloud.state is State.CLOSED


async def test_a_refusal_is_an_answer_to_the_circuit(service: RecordedCloud) -> None:
    service.fail("detect", *[222202] * 10)
    async with client(service, failures=2) as cloud:
        for _ in range(4):
            with pytest.raises(CloudRefused) as caught:
                await cloud.detect(PICTURE, within=WITHIN)
            assert (caught.value.number, caught.value.zh) == (222202, "没有看到人脸，请正对镜头")
        assert cloud.state is State.CLOSED


@pytest.mark.parametrize(
    ("code", "kind"), [(222203, CloudRefused), (17, CloudAway), (6, CloudAway), (222301, CloudAway)]
)
async def test_whose_fault_it_is(service: RecordedCloud, code: int, kind: type[RollcallError]) -> None:
    service.fail("detect", code)
    async with client(service) as cloud:
        with pytest.raises(RollcallError) as caught:
            await cloud.detect(PICTURE, within=WITHIN)
    assert type(caught.value) is kind
    assert caught.value.number == code


async def test_a_caller_who_leaves_does_not_end_the_fetch_for_the_others(service: RecordedCloud) -> None:
    service.fail("token", "slow", seconds=0.2)
    async with client(service) as cloud:
        first = asyncio.create_task(cloud.detect(PICTURE, within=WITHIN))
        await service.arrived.wait()
        second = asyncio.create_task(cloud.detect(PICTURE, within=WITHIN))
        await asyncio.sleep(0)
        first.cancel()
        assert await second
    assert service.calls["token"] == 1


async def test_no_secret_is_logged_or_shown(
    service: RecordedCloud, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = settings_for(service)
    async with client(service) as cloud:
        await cloud.detect(PICTURE, within=WITHIN)
        service.fail("detect", "reset", "garbage", "http500")
        for _ in range(3):
            with pytest.raises(CloudAway):
                await cloud.detect(PICTURE, within=WITHIN)
        shown = "".join([caplog.text, *capfd.readouterr(), repr(settings), repr(cloud), repr(vars(cloud))])
    for secret in (service.secret_key, service.token, service.api_key):
        assert secret not in shown
    assert "cloud away" in shown


async def ready_to_probe(cloud: Cloud) -> None:
    async def is_half_open() -> bool:
        return cloud.state is State.HALF_OPEN

    await eventually(is_half_open, 5, "the circuit lets a probe through")


async def quietly(call: Awaitable[object]) -> None:
    """One probes while the others are told to wait."""
    with suppress(CloudAway):
        await call
