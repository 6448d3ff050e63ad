"""clinetFeedback and clinetWebResult."""

from datetime import timedelta

import pytest

from shared.contracts.attendance import LastPunch, PunchRow, ReportState
from shared.contracts.base import now
from tests.unit.gateway.terminal.host_double import HostDouble
from tests.unit.gateway.terminal.posting import WHO, post


async def test_feedback_as_printed(host: HostDouble) -> None:
    said = await post(host, "clinetFeedback", {**WHO, "token": host.token(), "faceName": "艾达"})
    assert said == {"flag": "clinetfeedback", "code": 0, "state": "recorded"}
    [asked] = host.registry.reports
    assert (asked.place, asked.source, asked.reports[0].who) == ("东门", "device-3", "艾达")
    assert abs(asked.reports[0].captured_at - now()) < timedelta(seconds=5)


async def test_the_same_sighting_has_the_same_id(host: HostDouble) -> None:
    at = round(now().timestamp()) - 3_600
    numbered = {"faceName": "艾达", "time": f"{at}.25", "seq": "41"}
    timed = {"faceName": "艾达", "time": at}
    for fields in (numbered, numbered, timed, timed, {"faceName": "艾达"}, {"faceName": "艾达"}):
        assert (await post(host, "clientFeedback", {"token": host.token(), **fields}))["code"] == 0
    ids = [asked.reports[0].report_id for asked in host.registry.reports]
    assert ids[:2] == [f"report-3-41-{at}250"] * 2
    assert ids[2] == ids[3] != ids[0]
    assert len(set(ids)) == 4
    assert host.registry.reports[0].reports[0].captured_at.timestamp() == at + 0.25


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"faceName": ""}, 9005),
        ({"faceName": "x" * 129}, 2),
        ({"time": "soon"}, 2),
        ({"time": "-5"}, 2),
        ({"time": "1e9"}, 2),
        ({"time": "9" * 11}, 2),
        ({"time": str(now().timestamp() + 86_400)}, 2),
        ({"time": str(now().timestamp() - 367 * 86_400)}, 2),
        ({"seq": "1"}, 9005),
        ({"seq": "-1", "time": str(now().timestamp())}, 2),
        ({"seq": str(2**53), "time": str(now().timestamp())}, 2),
        ({"time": str(now().timestamp() + 60)}, 0),
    ],
)
async def test_feedback_codes(host: HostDouble, fields: dict[str, str], code: int) -> None:
    said = await post(host, "clinetFeedback", {"token": host.token(), "faceName": "艾达", **fields})
    assert said["code"] == code


async def test_a_clock_that_is_ahead_makes_no_punch_of_the_future(host: HostDouble) -> None:
    fields = {"token": host.token(), "faceName": "艾达", "time": str(now().timestamp() + 60)}
    await post(host, "clinetFeedback", fields)
    assert host.registry.reports[0].reports[0].captured_at <= now()


@pytest.mark.parametrize(("state", "code"), [("unknown", 73731), ("ambiguous", 5), ("repeated", 0)])
async def test_outcomes(host: HostDouble, state: str, code: int) -> None:
    host.registry.state = ReportState(state)
    assert (await post(host, "clinetFeedback", {"token": host.token(), "faceName": "艾达"}))["code"] == code


async def test_the_last_result_as_printed(host: HostDouble) -> None:
    said = await post(host, "clinetWebResult", {**WHO, "token": host.token()})
    assert said == {"flag": "clinetwebresult", "code": 0, "faceName": "", "username": "", "time": 0}
    at = now()
    host.registry.last = LastPunch(
        punch=PunchRow(
            punch_id=1,
            student_id=7,
            num="2026_007",
            name="艾达",
            class_name="一班",
            place="东门",
            captured_at=at,
            recorded_at=at,
            score=0,
        )
    )
    said = await post(host, "clientWebResult", {**WHO, "token": host.token()})
    assert (said["faceName"], said["username"], said["time"]) == ("艾达", "2026_007", int(at.timestamp()))
