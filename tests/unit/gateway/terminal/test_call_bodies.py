"""Whatever is posted gets a code, and so does our own trouble."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.terminal_api import parameters
from shared.codes import DeviceCode
from shared.errors import Internal, Unavailable
from tests.unit.gateway.terminal.host_double import HostDouble
from tests.unit.gateway.terminal.posting import FEATURE, NAMES, PHOTO, b64, post


@pytest.mark.parametrize("call", sorted(NAMES))
async def test_nothing_at_all(host: HostDouble, call: str) -> None:
    assert (await post(host, call))["code"] == 9002


@pytest.mark.parametrize("call", sorted(NAMES))
async def test_what_a_call_does_not_have_is_named(host: HostDouble, call: str) -> None:
    said = await post(host, call, {"token": "t", "fcaeName": "x"})
    assert said["code"] == 2
    assert "fcaeName" in said["message"]


async def test_a_parameter_sent_twice_is_refused(host: HostDouble) -> None:
    for content, kind in (
        ("token=a&token=b", "application/x-www-form-urlencoded"),
        ('{"token":"a","token":"b"}', "application/json"),
    ):
        said = await post(host, "clinetWebResult", content=content, headers={"content-type": kind})
        assert said["code"] == 2


@pytest.mark.parametrize(("call", "size"), [("clinetFeedback", 65_537), ("faceDetect", 16 * 2**20 + 1)])
async def test_too_large_a_body(host: HostDouble, call: str, size: int) -> None:
    async with host.web() as web:
        answer = await web.post(f"/faces/api/{call}", content=b"x" * size, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"], answer.json()["flag"]) == (413, 9, NAMES[call])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Unavailable(), 503, 1),
        (Internal("", "a bug"), 500, 9007),
        (RuntimeError("a bug"), 500, 9007),
    ],
)
async def test_our_own_trouble(host: HostDouble, error: Exception, status: int, code: int) -> None:
    host.bus.broken = error
    async with host.web() as web:
        answer = await web.post("/faces/api/clinetWebResult", data={"token": "t"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) is (code == 1)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(["", " ", "0", "-1", "1e5", "\ud800", "\x00", "9" * 5_000, FEATURE, b64(PHOTO), "1-00000000"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
TAKES = ["image", *parameters.BOX, "pending", "original", "since", "limit", "username", "faceName", "picBase64"]
TAKES += ["faceData", "className", "gender", "time", "seq", "deviceName", "deviceSN", "sn", "token", "challenge"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(call=st.sampled_from(sorted(NAMES)), sent=st.dictionaries(st.sampled_from(TAKES), ODD, max_size=8))
async def test_whatever_is_sent_gets_a_code(host: HostDouble, call: str, sent: dict[str, Any]) -> None:
    if "token" not in sent:
        sent = {**sent, "token": host.token()}
    content, headers = json.dumps(sent), {"content-type": "application/json"}
    said = await post(host, call, content=content, headers=headers)
    assert said["code"] in {int(code) for code in DeviceCode if code.when}
    assert said["code"] != DeviceCode.INTERNAL_ERROR


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), kind=st.sampled_from(["form", "json", "multipart"]))
async def test_rubbish_gets_a_code(host: HostDouble, body: bytes, kind: str) -> None:
    types = {
        "form": "application/x-www-form-urlencoded",
        "json": "application/json",
        "multipart": "multipart/form-data; boundary=x",
    }
    said = await post(host, "clinetFeedback", content=body, headers={"content-type": types[kind]})
    assert said["code"] in (2, 9001, 9002, 9003, 9005, 9115)
