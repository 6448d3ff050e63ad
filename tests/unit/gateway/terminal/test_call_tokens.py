"""Tokens of the calls: once, of this device, and who needs none."""

from gateway.terminal_api.callers import NEWCOMERS
from shared.contracts.devices import Proof
from tests.unit.gateway.terminal.host_double import HostDouble
from tests.unit.gateway.terminal.posting import PHOTO, WHO, b64, post


async def test_a_token_is_good_for_one_post(host: HostDouble) -> None:
    token = host.token()
    assert (await post(host, "clinetWebResult", {"token": token}))["code"] == 0
    assert (await post(host, "clinetWebResult", {"token": token}))["code"] == 9001


async def test_what_is_malformed_costs_no_token(host: HostDouble) -> None:
    token = host.token()
    for call, fields in (
        ("clinetFeedback", {}),
        ("clinetFeedback", {"faceName": "艾达", "time": "yesterday"}),
        ("getDbs", {"since": "x"}),
        ("faceAge", {"image": b64(PHOTO)}),
        ("regFace", {"username": "a b", "faceName": "x", "picBase64": b64(PHOTO)}),
        ("clinetWebResult", {"faceName": "x"}),
    ):
        assert (await post(host, call, {"token": token, **fields}))["code"] in (2, 9005)
    assert (await post(host, "clinetWebResult", {"token": token}))["code"] == 0


async def test_the_token_may_come_in_the_header(host: HostDouble) -> None:
    headers = {"Authorization": f"Bearer {host.token()}"}
    assert (await post(host, "clinetWebResult", headers=headers))["code"] == 0


async def test_a_token_of_another_device_is_refused(host: HostDouble) -> None:
    fields = {"token": host.token(), "deviceName": "西门"}
    assert (await post(host, "clinetWebResult", fields))["code"] == 9004
    fields = {"token": host.token(), **WHO}
    assert (await post(host, "clinetWebResult", fields))["code"] == 0


async def test_names_need_not_be_percent_encoded() -> None:
    trusted = HostDouble(proof=Proof.SERIAL)
    headers = {"content-type": "application/x-www-form-urlencoded"}
    said = await post(trusted, "clinetWebResult", content="deviceName=东门&deviceSN=E-1".encode(), headers=headers)
    assert said["code"] == 0


async def test_without_a_token_only_a_device_that_the_office_lets(host: HostDouble) -> None:
    assert (await post(host, "clinetWebResult", WHO))["code"] == 9001
    assert (await post(host, "clinetWebResult", {"deviceName": "东门"}))["code"] == 9005
    trusted = HostDouble(proof=Proof.SERIAL)
    for call, fields in (
        ("clinetWebResult", {}),
        ("clinetFeedback", {"faceName": "艾达"}),
        ("getDbs", {}),
        ("regFace", {"username": "1", "faceName": "x", "picBase64": b64(PHOTO)}),
    ):
        assert (await post(trusted, call, {**WHO, **fields}))["code"] == 0
    assert (await post(trusted, "clinetWebResult", {"deviceName": "东门", "sn": "E-1"}))["code"] == 0
    assert (await post(trusted, "clinetWebResult", {"deviceName": "东\n门", "sn": "E-1"}))["code"] == 9003


async def test_a_serial_number_cannot_be_guessed_for_long() -> None:
    """The name stands on the wall; the number is all that keeps others out, where the office lets the two be enough."""
    trusted = HostDouble(proof=Proof.SERIAL)
    async with trusted.web() as web:
        guesses = [{"deviceName": "东门", "deviceSN": f"E-{number}"} for number in range(100, 120)]
        said = [await web.post("/faces/api/clinetWebResult", data=guess) for guess in guesses]
        assert [answer.json()["code"] for answer in said] == [9004] * 10 + [8] * 10
        assert (said[-1].status_code, said[-1].headers["retry-after"]) == (429, "1")
        assert (await web.post("/faces/api/clinetWebResult", data=WHO)).json()["code"] == 8, "the right one is no sign"
        other = {"deviceName": "西门", "deviceSN": "E-1"}
        assert (await web.post("/faces/api/clinetWebResult", data=other)).json()["code"] == 9001, "other names go on"


async def test_one_address_shows_the_office_only_so_many_new_terminals(host: HostDouble) -> None:
    async with host.web() as web:
        for number in (*range(3), *range(int(NEWCOMERS.burst) + 5)):
            asked = {"deviceName": f"新{number}", "deviceSN": f"N-{number}"}
            assert (await web.post("/faces/api/token", data=asked)).json()["code"] == 9001
        assert host.hub.announced == {f"N-{number}" for number in range(int(NEWCOMERS.burst))}, (
            "who asks again counts once"
        )
        assert (await web.post("/faces/api/token", data=WHO)).json()["code"] == 0, "who is known is let in"
