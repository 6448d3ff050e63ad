"""Punches by number: each once, gaps seen and closed, whatever is sent again, on both databases."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import delete

from registry.handlers import Attendance, Devices, Students, Terminals
from registry.store.database import Database
from registry.store.offline import EPOCHS
from registry.tables import Inbox
from shared.contracts.attendance import PunchesOfDay, PunchReport, ReportPunches, ReportState
from shared.contracts.base import now
from shared.contracts.devices import AddDevice, EditDevice, GetDeviceLog, Proof, RemoveDevice
from shared.contracts.offline import KeepPunches, OfflinePunch, PunchesKept, Ranges, Refusal, report_id
from shared.errors import NotFound
from shared.ranges import MOST
from tests.integration.registry.samples import SHANGHAI, registration

START = (now() - timedelta(days=2)).replace(hour=4, minute=0, second=0, microsecond=250_000)
ONE, TWO = "20260001", "20260002"


@pytest.fixture
async def door(devices: Devices, students: Students) -> int:
    """A terminal that knows two students."""
    await students.register(registration(1))
    await students.register(registration(2, name="学生二"))
    added = await devices.add(AddDevice(name="东门", sn="E-1", proof=Proof.SERIAL, by="office"))
    return added.device.device_id


def punch(seq: int, who: str = ONE, after_min: float | None = None) -> OfflinePunch:
    """The numbers are two minutes apart, so that none repeats another."""
    minutes = 2 * seq if after_min is None else after_min
    return OfflinePunch(seq=seq, at=START + timedelta(minutes=minutes), who=who, score=91.5)


async def keep(
    terminals: Terminals, door: int, *punches: OfflinePunch, last: int = 0, epoch: str = "e1", gone: Ranges = ()
) -> PunchesKept:
    return await terminals.keep(KeepPunches(device_id=door, epoch=epoch, last=last, punches=punches, gone=gone))


async def times(attendance: Attendance) -> list[tuple[str, float]]:
    """(number, minutes after the start) of all punches, by time."""
    days = {(START + timedelta(hours=12 * half)).astimezone(SHANGHAI).date() for half in range(5)}
    rows = [row for day in days for row in (await attendance.of_day(PunchesOfDay(day=day, limit=2_000))).rows]
    return sorted(((row.num, (row.captured_at - START) / timedelta(minutes=1)) for row in rows), key=lambda r: r[1])


async def test_a_batch_is_kept_with_its_times_and_scores(
    terminals: Terminals, attendance: Attendance, door: int
) -> None:
    answer = await keep(terminals, door, punch(1), punch(2, TWO), punch(3))
    assert answer == PunchesKept(kept=((1, 3),))
    assert await times(attendance) == [(ONE, 2), (TWO, 4), (ONE, 6)]
    [row, *_] = (await attendance.of_day(PunchesOfDay(day=START.astimezone(SHANGHAI).date()))).rows
    assert (row.place, row.score) == ("东门", 91.5)


async def test_a_gap_is_seen_and_closed(terminals: Terminals, attendance: Attendance, door: int) -> None:
    assert (await keep(terminals, door, punch(1), punch(5), last=7)).missing == ((2, 4), (6, 7))
    assert (await keep(terminals, door, last=7)).missing == ((2, 4), (6, 7))
    assert (await keep(terminals, door, punch(3), punch(7), punch(6))).missing == ((2, 2), (4, 4))
    assert await keep(terminals, door, punch(4), punch(2)) == PunchesKept(kept=((2, 2), (4, 4)))
    assert await times(attendance) == [(ONE, 2 * seq) for seq in (1, 2, 3, 4, 5, 6, 7)]


async def test_what_comes_again_is_kept_again_and_made_once(
    terminals: Terminals, attendance: Attendance, door: int
) -> None:
    batch = (punch(2), punch(1))
    answers = await asyncio.gather(*(keep(terminals, door, *batch) for _ in range(4)))
    assert answers == [PunchesKept(kept=((1, 2),))] * 4
    assert await times(attendance) == [(ONE, 2), (ONE, 4)]


@pytest.mark.parametrize("place", ["东门", "西门"])
async def test_a_batch_that_comes_again_after_the_summer(
    terminals: Terminals, attendance: Attendance, devices: Devices, database: Database, door: int, place: str
) -> None:
    batch = (punch(1), punch(2, TWO), punch(3, after_min=2.5))
    first = await keep(terminals, door, *batch)
    await database.write(lambda session: session.execute(delete(Inbox)))
    await devices.edit(EditDevice(device_id=door, name=place, by="office"))
    report = PunchReport(report_id=report_id(door, "1", batch[0].at), who=ONE, captured_at=batch[0].at)
    again = await terminals.report(ReportPunches(place=place, source=f"device-{door}", reports=(report,)))
    assert [outcome.state for outcome in again.outcomes] == [ReportState.RECORDED]
    assert await keep(terminals, door, *batch, punch(4)) == PunchesKept(kept=((1, 4),))
    assert first == PunchesKept(kept=((1, 3),))
    moved = [] if place == "东门" else [(ONE, 2.5)]  # there it repeats nothing
    assert await times(attendance) == [(ONE, 2), *moved, (TWO, 4), (ONE, 8)]


async def test_a_reset_terminal_counts_anew(terminals: Terminals, attendance: Attendance, door: int) -> None:
    await keep(terminals, door, punch(1), punch(2))
    answer = await keep(terminals, door, punch(1, after_min=30), epoch="e2", last=2)
    assert answer == PunchesKept(kept=((1, 1),), missing=((2, 2),))
    assert len(await times(attendance)) == 3
    for number in range(EPOCHS):
        await keep(terminals, door, epoch=f"n{number}", gone=((1, 1),), last=1)
    forgotten = await keep(terminals, door, punch(2), epoch="e1")
    assert forgotten == PunchesKept(kept=((2, 2),), missing=((1, 1),))
    assert len(await times(attendance)) == 3


async def test_the_same_sighting_by_the_api_and_by_the_channel(
    terminals: Terminals, attendance: Attendance, door: int
) -> None:
    told = punch(4)
    report = PunchReport(report_id=report_id(door, "4", told.at), who=ONE, captured_at=told.at)
    await terminals.report(ReportPunches(place="东门", source=f"device-{door}", reports=(report,)))
    assert (await keep(terminals, door, told)).kept == ((4, 4),)
    assert await times(attendance) == [(ONE, 8)]


async def test_a_refused_one_is_named_and_may_come_again(
    terminals: Terminals, attendance: Attendance, students: Students, devices: Devices, door: int
) -> None:
    late = OfflinePunch(seq=3, at=now() + timedelta(hours=1), who=ONE)
    for _ in range(2):
        answer = await keep(terminals, door, punch(1), punch(2, "无此人"), late)
        assert (answer.kept, answer.missing) == (((1, 1),), ())
        refused = {r.seq: r.error for r in answer.refused}
        assert refused == {2: Refusal.UNKNOWN, 3: Refusal.BAD_TIME}
    log = (await devices.log(GetDeviceLog(device_id=door))).entries
    assert sorted(e.detail.split(" · ")[0] for e in log if e.action == "device punch refused") == [
        "bad_time",
        "unknown",
    ]
    await students.register(registration(3, name="无此人"))
    assert (await keep(terminals, door, punch(2, "无此人"))).kept == ((2, 2),)
    assert await times(attendance) == [(ONE, 2), ("20260003", 4)]


async def test_a_little_ahead_counts_as_now(terminals: Terminals, attendance: Attendance, door: int) -> None:
    ahead = OfflinePunch(seq=1, at=now() + timedelta(minutes=2), who=ONE)
    assert (await keep(terminals, door, ahead)).kept == ((1, 1),)
    assert (await attendance.of_day(PunchesOfDay(day=now().astimezone(SHANGHAI).date()))).rows[0].captured_at <= now()


async def test_what_is_gone_closes_the_gap_and_stands_in_the_log(
    terminals: Terminals, devices: Devices, door: int
) -> None:
    assert (await keep(terminals, door, punch(9))).missing == ((1, 8),)
    for _ in range(2):
        assert (await keep(terminals, door, gone=((1, 7),))).missing == ((8, 8),)
    lost = [e for e in (await devices.log(GetDeviceLog(device_id=door))).entries if e.action == "device punches lost"]
    assert [e.detail for e in lost] == ["e1: 1-7"]


async def test_a_repeated_sighting_is_kept_as_the_punch_that_stands(
    terminals: Terminals, attendance: Attendance, door: int
) -> None:
    answer = await keep(terminals, door, punch(1), punch(2, after_min=2.5))
    assert answer == PunchesKept(kept=((1, 2),))
    assert await times(attendance) == [(ONE, 2)]


async def test_only_students_of_its_classes(terminals: Terminals, devices: Devices, door: int) -> None:
    await devices.edit(EditDevice(device_id=door, name="东门", classes=("二班",), by="office"))
    assert [r.error for r in (await keep(terminals, door, punch(1))).refused] == [Refusal.UNKNOWN]


async def test_scattered_numbers_are_bounded_and_lose_nothing(
    terminals: Terminals, attendance: Attendance, door: int
) -> None:
    odd = [punch(seq) for seq in range(1, 4 * MOST, 2)]
    for start in (0, 100):
        answer = await keep(terminals, door, *odd[start : start + 100])
        assert answer.missing[0] == (2, 2)
        assert len(answer.missing) <= MOST
    await keep(terminals, door, gone=tuple((seq, seq) for seq in range(2, 2 * MOST, 2)))
    assert len(await times(attendance)) == len(odd)


async def test_an_unknown_terminal(terminals: Terminals, devices: Devices, door: int) -> None:
    await keep(terminals, door, punch(1))
    await devices.remove(RemoveDevice(device_id=door, by="office"))
    with pytest.raises(NotFound):
        await keep(terminals, door, punch(1))
