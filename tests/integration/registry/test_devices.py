"""Terminals, on both databases."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from registry.handlers import Devices
from registry.store import devices as store
from registry.store.database import Database
from registry.sweeper import Sweeper
from registry.tables import Audit, DeviceRow, Outbox
from shared.contracts.base import now
from shared.contracts.devices import (
    AddDevice,
    AddDevices,
    AuthoriseDevice,
    ConfigureDevices,
    Device,
    DeviceChange,
    DeviceChanged,
    DeviceConfig,
    DeviceMode,
    DevicesConfigured,
    DeviceState,
    EditDevice,
    FindDevice,
    GetDevice,
    GetDeviceLog,
    ListDevices,
    NewDevice,
    Proof,
    RemoveDevice,
    RemoveDevices,
    RemovePending,
    RenewSecret,
    SuspendDevice,
    TokenUse,
)
from shared.contracts.hubs import (
    AnnounceDevice,
    Deed,
    DeedsDone,
    DevicesSeen,
    FindHubDevices,
    GetDevicesMark,
    ListHubDevices,
    Sighting,
)
from shared.errors import Conflict, NotAllowed, NotFound


def adding(name: str, sn: str, proof: Proof = Proof.SECRET) -> AddDevice:
    return AddDevice(name=name, sn=sn, proof=proof, by="cli")


async def added(devices: Devices, name: str, sn: str, proof: Proof = Proof.SECRET) -> Device:
    return (await devices.add(adding(name, sn, proof))).device


async def secret_of(devices: Devices, device_id: int) -> bytes:
    [known] = (await devices.found_for_hub(FindHubDevices(device_id=device_id))).rows()
    return known.secret


async def test_a_terminal_is_added_and_announced(devices: Devices, database: Database) -> None:
    device = await added(devices, "正门", "SN-1")
    assert (device.name, device.sn, device.authorised, device.punches_at) == ("正门", "SN-1", True, "正门")
    found = await devices.listed(ListDevices())
    assert (found.devices, found.total, found.pending) == ((device,), 1, 0)
    [body] = await database.read(lambda session: session.scalars(select(Outbox.body)))
    event = DeviceChanged.decode(body)
    assert (event.device_id, event.change, event.by) == (device.device_id, DeviceChange.ADDED, "cli")


async def test_the_same_terminal_again_gets_a_new_secret(devices: Devices) -> None:
    answers = await asyncio.gather(*(devices.add(adding("a", "1")) for _ in range(4)))
    assert len({answer.device.device_id for answer in answers}) == 1
    secrets = {answer.secret.get_secret_value() for answer in answers}
    assert len(secrets) == 4
    assert (await secret_of(devices, answers[0].device.device_id)).decode() in secrets


async def test_the_secret_is_sealed_and_told_to_hubs_only(devices: Devices, database: Database) -> None:
    issued = await devices.add(adding("a", "1"))
    secret = issued.secret.get_secret_value()
    assert len(secret) == 64 and secret not in repr(issued)
    sealed = await database.read(lambda session: session.scalar(select(DeviceRow.secret)))
    assert sealed is not None and secret.encode() not in sealed
    assert await secret_of(devices, issued.device.device_id) == secret.encode()
    [known] = (await devices.listed_for_hub(ListHubDevices())).rows()
    assert (known.device(), known.secret) == (issued.device, secret.encode())
    assert secret not in repr(known)
    renewed = await devices.renew_secret(RenewSecret(device_id=issued.device.device_id, by="office"))
    assert await secret_of(devices, issued.device.device_id) == renewed.secret.get_secret_value().encode() != secret


@pytest.mark.parametrize("text", ["x'; DROP TABLE devices; --", "' OR '1'='1", '" OR ""="', "%' UNION SELECT 1--", "_"])
async def test_what_a_terminal_calls_itself_is_never_sql(devices: Devices, text: str) -> None:
    """Every field that a terminal or the office may fill in, and every question that is asked with one."""
    serial = text.replace(" ", "/")
    other = await added(devices, "other", "other-1")
    waiting = await devices.announce(AnnounceDevice(name=text, sn=serial))
    edit = EditDevice(device_id=waiting.device_id, name=text, place=text, classes=(text,), by=text)
    kept = await devices.edit(edit)
    assert (kept.name, kept.sn, kept.place, kept.classes) == (text, serial, text, (text,))
    for question in (FindHubDevices(name=text), FindHubDevices(sn=serial)):
        rows = (await devices.found_for_hub(question)).rows()
        assert [row.device().device_id for row in rows] == [kept.device_id]
    assert (await devices.found(FindDevice(name=text, sn=serial))).devices == (kept,)
    assert (await devices.listed(ListDevices(text=text))).devices == (kept,)
    assert {device.device_id for device in (await devices.listed(ListDevices())).devices} == {
        other.device_id,
        kept.device_id,
    }


async def test_a_terminal_asks_waits_and_is_let_in(devices: Devices) -> None:
    asked = AnnounceDevice(name="东门", sn="E-1")
    waiting = await devices.announce(asked)
    assert (waiting.state, await devices.announce(asked)) == (DeviceState.PENDING, waiting)
    await added(devices, "a", "1")
    found = await devices.listed(ListDevices())
    assert ([d.name for d in found.devices], found.pending) == (["东门", "a"], 1)
    let_in = AuthoriseDevice(device_id=waiting.device_id, proof=Proof.SECRET, by="office")
    first, again = await devices.authorise(let_in), await devices.authorise(let_in)
    assert first.device.authorised and first.secret.get_secret_value() and not again.secret.get_secret_value()
    suspended = await devices.suspend(SuspendDevice(device_id=waiting.device_id, by="office"))
    assert suspended.state is DeviceState.SUSPENDED
    weak = await devices.authorise(AuthoriseDevice(device_id=waiting.device_id, proof=Proof.SERIAL, by="office"))
    assert (weak.device.proof, weak.secret.get_secret_value()) == (Proof.SERIAL, "")
    assert await secret_of(devices, waiting.device_id) == b""
    log = (await devices.log(GetDeviceLog(device_id=waiting.device_id))).entries
    actions = ["device authorised", "device suspended", "device authorised", "device authorised", "device announced"]
    assert [entry.action for entry in log] == actions


async def test_all_that_wait_are_removed_and_no_other(devices: Devices, database: Database) -> None:
    for number in range(3):
        await devices.announce(AnnounceDevice(name=f"n{number}", sn=f"N-{number}"))
    kept = await added(devices, "东门", "E-1")
    suspended = await added(devices, "西门", "W-1")
    await devices.suspend(SuspendDevice(device_id=suspended.device_id, by="office"))
    before = await devices.mark(GetDevicesMark())
    assert (await devices.remove_pending(RemovePending(by="office"))).count == 3
    found = await devices.listed(ListDevices())
    assert ({d.device_id for d in found.devices}, found.pending) == ({kept.device_id, suspended.device_id}, 0)
    bodies = await database.read(lambda session: session.scalars(select(Outbox.body).order_by(Outbox.seq.desc())))
    event = DeviceChanged.decode(next(iter(bodies)))
    assert (event.device_id, event.change, event.by) == (0, DeviceChange.MANY, "office")
    after = await devices.mark(GetDevicesMark())
    assert after != before
    assert (await devices.remove_pending(RemovePending(by="office"))).count == 0
    assert await devices.mark(GetDevicesMark()) == after


async def test_who_is_let_in_again_proves_itself_as_before(devices: Devices) -> None:
    """A terminal that knows no secret would never come back if it had to have one."""
    serial = await added(devices, "东门", "E-1", Proof.SERIAL)
    secret = await added(devices, "西门", "W-1")
    waiting = await devices.announce(AnnounceDevice(name="北门", sn="N-1"))
    proofs = {serial.device_id: Proof.SERIAL, secret.device_id: Proof.SECRET, waiting.device_id: Proof.SECRET}
    for device_id, proof in proofs.items():
        await devices.suspend(SuspendDevice(device_id=device_id, by="office"))
        again = await devices.authorise(AuthoriseDevice(device_id=device_id, by="office"))
        assert again.device.proof is proof
        assert bool(again.secret.get_secret_value()) == (device_id == waiting.device_id)


async def test_only_so_many_may_wait(database: Database) -> None:
    async def announce(number: int) -> Device:
        asked = AnnounceDevice(name=f"n{number}", sn=f"s{number}")
        return await database.write(lambda session: store.announced(session, asked, most=2))

    for number in range(2):
        await announce(number)
    with pytest.raises(NotAllowed):
        await announce(2)
    assert (await announce(1)).state is DeviceState.PENDING


async def test_who_waits_and_asks_no_more_is_forgotten(devices: Devices, database: Database, sweeper: Sweeper) -> None:
    for name in ("once", "again", "let in"):
        await devices.announce(AnnounceDevice(name=name, sn=name.replace(" ", "-")))
    let_in = (await devices.listed(ListDevices(text="let in"))).devices[0].device_id
    await devices.authorise(AuthoriseDevice(device_id=let_in, proof=Proof.SERIAL, by="office"))
    long_ago = now() - store.PENDING_KEPT - timedelta(minutes=1)
    await database.write(lambda session: session.execute(update(DeviceRow).values(created_at=long_ago)))
    await devices.announce(AnnounceDevice(name="again", sn="again"))
    await sweeper.sweep()
    assert [d.name for d in (await devices.listed(ListDevices())).devices] == ["again", "let in"]
    bodies = await database.read(lambda session: session.scalars(select(Outbox.body).order_by(Outbox.seq.desc())))
    assert DeviceChanged.decode(next(iter(bodies))).change is DeviceChange.REMOVED


async def test_what_the_office_wishes(devices: Devices) -> None:
    device = await added(devices, "a", "1")
    wish = EditDevice(
        device_id=device.device_id,
        name="东门",
        place="一号楼",
        classes=("三年二班", "三年三班"),
        tokens=TokenUse.TIMED,
        config=DeviceConfig(mode=DeviceMode.OFFLINE, open_ms=5_000),
        by="office",
    )
    changed = await devices.edit(wish)
    assert (changed.name, changed.punches_at, changed.classes) == ("东门", "一号楼", ("三年二班", "三年三班"))
    assert (changed.tokens, changed.config, changed.config_revision) == (TokenUse.TIMED, wish.config, 1)
    assert (await devices.edit(wish)).config_revision == 1
    assert await devices.get(GetDevice(device_id=device.device_id)) == changed
    await added(devices, "b", "2")
    with pytest.raises(Conflict):
        await devices.edit(wish.model_copy(update={"name": "b"}))


@pytest.mark.parametrize(("name", "sn", "field"), [("a", "9", "name"), ("z", "1", "sn"), ("a", "2", "name")])
async def test_names_and_serial_numbers_belong_to_one(devices: Devices, name: str, sn: str, field: str) -> None:
    await added(devices, "a", "1")
    await added(devices, "b", "2")
    for question in (devices.add(adding(name, sn)), devices.announce(AnnounceDevice(name=name, sn=sn))):
        with pytest.raises(Conflict) as caught:
            await question
        assert (caught.value.field in ("name", "sn") and (name, sn) == ("a", "2")) or caught.value.field == field


async def test_finding_by_name_or_serial_number(devices: Devices) -> None:
    a, b = [await added(devices, *pair) for pair in (("a", "1"), ("b", "2"))]
    assert (await devices.found(FindDevice(name="a", sn="2"))).devices == (a, b)
    assert (await devices.found(FindDevice(name="a", sn="1"))).devices == (a,)
    assert (await devices.found(FindDevice(name="A", sn="%"))).devices == ()
    assert [d.name for d in (await devices.listed(ListDevices(text="b"))).devices] == ["b"]
    assert (await devices.listed(ListDevices(state=DeviceState.PENDING))).devices == ()


async def test_a_removed_terminal_is_gone_and_its_id_is_never_given_again(devices: Devices, database: Database) -> None:
    device = await added(devices, "a", "1")
    await devices.remove(RemoveDevice(device_id=device.device_id, by="office"))
    assert (await devices.listed(ListDevices())).devices == ()
    for question in (
        devices.remove(RemoveDevice(device_id=device.device_id, by="office")),
        devices.get(GetDevice(device_id=device.device_id)),
    ):
        with pytest.raises(NotFound):
            await question
    assert (await added(devices, "a", "1")).device_id > device.device_id
    trace = await database.read(lambda session: session.scalars(select(Audit.action).order_by(Audit.id)))
    assert list(trace) == ["device added", "device removed", "device added"]


async def test_the_list_comes_in_pages_by_name(devices: Devices) -> None:
    for name in "cab":
        await added(devices, name, f"sn-{name}")
    assert [d.name for d in (await devices.listed(ListDevices(offset=1, limit=1))).devices] == ["b"]
    first = await devices.listed_for_hub(ListHubDevices(limit=2))
    last = await devices.listed_for_hub(ListHubDevices(after=first.ids[-1]))
    assert (first.names, last.names) == (("c", "a"), ("b",))


def many(*pairs: tuple[str, str]) -> AddDevices:
    return AddDevices(devices=tuple(NewDevice(name=name, sn=sn) for name, sn in pairs), by="cli")


async def test_many_are_added_at_once_each_with_its_secret(devices: Devices, database: Database) -> None:
    waiting = await devices.announce(AnnounceDevice(name="b", sn="2"))
    issued = await devices.add_many(many(("a", "1"), ("b", "2"), ("c", "3")))
    listed = await devices.listed_for_hub(ListHubDevices())
    told = dict(zip(issued.ids, issued.secrets, strict=True))
    assert {known.device_id: known.secret.decode() for known in listed.rows()} == told
    assert len(set(issued.secrets)) == 3 and issued.ids[1] == waiting.device_id
    assert {known.name: known.authorised for known in listed.rows()} == {"a": True, "b": True, "c": True}
    news = [DeviceChanged.decode(body) for body in await database.read(lambda s: s.scalars(select(Outbox.body)))]
    assert [(event.device_id, event.change) for event in news[1:]] == [(0, DeviceChange.MANY)]


async def test_many_again_get_new_secrets(devices: Devices) -> None:
    first, second = [await devices.add_many(many(("a", "1"), ("b", "2"))) for _ in range(2)]
    assert first.ids == second.ids
    assert not set(first.secrets) & set(second.secrets)
    assert (await secret_of(devices, second.ids[1])).decode() == second.secrets[1]


@pytest.mark.parametrize("clash", [("a", "9"), ("z", "1"), ("b", "3")])
async def test_of_many_with_a_clash_none_is_added(devices: Devices, clash: tuple[str, str]) -> None:
    await added(devices, "a", "1")
    with pytest.raises(Conflict):
        await devices.add_many(many(("b", "2"), clash))
    assert (await devices.listed(ListDevices())).total == 1


async def test_many_are_removed_at_once(devices: Devices) -> None:
    issued = await devices.add_many(many(("a", "1"), ("b", "2"), ("c", "3")))
    await devices.remove_many(RemoveDevices(ids=(*issued.ids[:2], 2**40, 999), by="cli"))
    assert [d.name for d in (await devices.listed(ListDevices())).devices] == ["c"]


async def test_many_are_configured_at_once_and_all_is_told(devices: Devices, database: Database) -> None:
    issued = await devices.add_many(many(("a", "1"), ("b", "2"), ("c", "3")))
    one, two, three = issued.ids
    await devices.configure_many(ConfigureDevices(ids=(one,), config=DeviceConfig(volume=9), by="cli"))
    wished = DeviceConfig(volume=11, greeting="早")
    await devices.configure_many(ConfigureDevices(ids=(one, two, 2**40, 999), config=wished, by="cli"))
    found = {d.device_id: d for d in (await devices.listed(ListDevices())).devices}
    assert [(found[i].config, found[i].config_revision) for i in (one, two)] == [(wished, 2), (wished, 1)]
    assert found[three].config_revision == 0
    bodies = await database.read(
        lambda s: s.scalars(select(Outbox.body).where(Outbox.subject == DevicesConfigured.subject))
    )
    event = [DevicesConfigured.decode(body) for body in bodies][-1]
    assert (dict(zip(event.ids, event.revisions, strict=True)), event.config) == ({one: 2, two: 1}, wished)


async def test_nobody_configured_is_no_news(devices: Devices, database: Database) -> None:
    await devices.configure_many(ConfigureDevices(ids=(999,), config=DeviceConfig(), by="cli"))
    assert list(await database.read(lambda s: s.scalars(select(Outbox.body)))) == []


async def test_the_mark_moves_with_every_change(devices: Devices) -> None:
    marks = [(await devices.mark(GetDevicesMark())).mark]
    issued = await devices.add_many(many(("a", "1")))
    marks.append((await devices.mark(GetDevicesMark())).mark)
    await devices.suspend(SuspendDevice(device_id=issued.ids[0], by="office"))
    marks.append((await devices.mark(GetDevicesMark())).mark)
    await devices.configure_many(ConfigureDevices(ids=issued.ids, config=DeviceConfig(volume=1), by="cli"))
    marks.append((await devices.mark(GetDevicesMark())).mark)
    await devices.remove_many(RemoveDevices(ids=issued.ids, by="cli"))
    marks.append((await devices.mark(GetDevicesMark())).mark)
    assert marks == sorted(set(marks))
    done = Deed(deed_id="o1", device_id=issued.ids[0], at=now(), by="office", action="open_door", done=True)
    await devices.deeds_done(DeedsDone(deeds=(done,)))
    assert (await devices.mark(GetDevicesMark())).mark == marks[-1]


async def test_when_terminals_were_seen(devices: Devices, database: Database) -> None:
    device, other = [await added(devices, *pair) for pair in (("a", "1"), ("b", "2"))]
    at = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    ids = (device.device_id, 99, 2**40)
    sightings = [Sighting(device_id=i, at=at + timedelta(seconds=i % 60), agent="t/1") for i in ids]
    await devices.seen(DevicesSeen(seen=tuple(sightings)))
    found = await devices.get(GetDevice(device_id=device.device_id))
    assert (found.seen_at, found.agent) == (sightings[0].at, "t/1")
    assert (await devices.get(GetDevice(device_id=other.device_id))).seen_at is None
    assert await database.read(lambda session: session.scalar(select(func.count(DeviceRow.id)))) == 2


async def test_what_a_terminal_does_not_tell_stays(devices: Devices) -> None:
    device = await added(devices, "a", "1")
    at = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
    for told in ({"clock_offset_ms": -250, "config_taken": 2}, {}, {"config_taken": 3}):
        await devices.seen(DevicesSeen(seen=(Sighting(device_id=device.device_id, at=at, agent="t/1", **told),)))
    found = await devices.get(GetDevice(device_id=device.device_id))
    assert (found.clock_offset_ms, found.config_taken) == (-250, 3)


async def test_deeds_are_written_down_once(devices: Devices) -> None:
    device = await added(devices, "a", "1")
    at = datetime(2026, 3, 2, 0, 0, 0, 500, tzinfo=UTC)
    whose = {"device_id": device.device_id, "at": at, "by": "office"}
    opened = Deed(deed_id="o1-done", action="open_door", done=True, detail="fire drill", **whose)
    refused = Deed(deed_id="o2-failed", action="restart", done=False, detail="unsupported", **whose)
    await devices.deeds_done(DeedsDone(deeds=(opened,)))
    await asyncio.gather(*(devices.deeds_done(DeedsDone(deeds=(opened, refused))) for _ in range(4)))
    log = (await devices.log(GetDeviceLog(device_id=device.device_id))).entries
    assert [(e.at, e.by, e.action, e.detail) for e in log[:-1]] == [
        (at, "office", "device restart failed", "unsupported"),
        (at, "office", "device open_door", "fire drill"),
    ]
    assert (log[-1].action, log[-1].detail) == ("device added", "")
