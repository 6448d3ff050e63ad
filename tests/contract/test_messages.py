"""Golden bytes: every message still reads what was written before, and nothing changed unnoticed.

After a deliberate change of a contract: `python -m tests.contract.test_messages` writes the bytes anew; the diff
shows what changed.
"""

import importlib
import pkgutil
from datetime import UTC, date, datetime
from pathlib import Path

import msgpack
import pytest
from pydantic import SecretBytes, SecretStr

import shared.contracts
from shared.contracts import (
    attendance,
    cloud,
    devices,
    feed,
    gallery,
    hubs,
    library,
    moving,
    office,
    offline,
    people,
    recognition,
    roster,
    terminals,
)
from shared.contracts.base import Command, ContractError, Done, Event, Message, Signal

GOLDEN = Path(__file__).with_name("golden")
AT = datetime(2026, 3, 1, 0, 1, 2, 345678, tzinfo=UTC)
ADA = people.Person(student_id=7, num="2026_007", name="𠮷田·Ada", class_name="三年二班", gender=people.Gender.WOMAN)
BOX = recognition.Box(left=1.5, top=2, width=30, height=40)
EMBEDDING = bytes(range(16))
FACT = {"event_id": "e" * 32, "occurred_at": AT}
PROBLEM = recognition.Problem(code=222202, zh="没有看到人脸", en="no face")
LIFE = recognition.LifeLook(at=AT, points=bytes(256), eyes=0.25)
TRACKED = recognition.TrackedFace(
    box=BOX,
    seen_at=AT,
    votes=(0, 7, 7),
    looked_at=AT,
    score=91.5,
    reported_id=7,
    reported_at=AT,
    event_id="f-0",
    life=(LIFE,),
    alive_at=AT,
    likeness=EMBEDDING,
)
REST = recognition.Rest(yaw=1.5, pitch=-2, eyes=0.25, mouth=0.05)
CHALLENGE = recognition.Challenge(
    actions=(recognition.Action.NOD, recognition.Action.OPEN_MOUTH),
    step=recognition.Step.WAITING,
    done=1,
    stage=0,
    since=AT,
    seen_at=AT,
    middle=(320.5, 240),
    size=180,
    still=(REST,),
    rest=REST,
    picture="f",
)
TRACK = recognition.Track(faces=(TRACKED,), challenge=CHALLENGE)
FACE_RESULT = recognition.FaceResult(
    box=BOX, verdict=recognition.Verdict.IDENTIFIED, person=ADA, score=91.5, event_id="f-0", problems=(PROBLEM,)
)
ENROLLED = library.EnrolledFace(model="m/1", embedding=EMBEDDING, jpeg=b"\xff\xd8\xff\xd9", box=(1, 2, 3, 4))
USERS = gallery.GroupUsers.of(1, 2, "students", [gallery.UserRow(4, "2026_007", "Ada", 7), gallery.UserRow(5, "u1")])
FACES = gallery.GalleryFaces.of("m/1", [gallery.FaceRow(3, 4, EMBEDDING)])
KEY = library.Key(key_id=1, api_key="a" * 24, app="default", qps=10, created_at=AT)
STORED = library.StoredFace(jpeg=b"\xff\xd8\xff\xd9", box=(1, 2, 3, 4))
TOKEN = "0" * 32
LOOSE = library.LooseFace(app_id=1, token=TOKEN, face=STORED)
OLD_FACE = library.OldFace(face_id=2, app_id=1, group_id="students", user_id="2026_007")
HUNT = recognition.Hunt(app_id=1, groups=("students",), user_id="2026_007", users=5)
QUESTION = recognition.Question(ask=(recognition.Ask.AGE, recognition.Ask.QUALITY), at=BOX, hunt=HUNT)
COVERED = recognition.Covered(
    left_eye=0.5, right_eye=0, nose=0, mouth=1, left_cheek=0, right_cheek=0, chin_contour=0.25
)
MEASURED = recognition.Measured(
    probability=0.5,
    rotation=-3,
    yaw=1.5,
    pitch=2.5,
    roll=-3.5,
    blur=0.25,
    illumination=128,
    completeness=1,
    covered=COVERED,
    landmark4=((1, 2), (3, 4), (5, 6), (7, 8)),
    landmark150={"nose_tip": (1, 2)},
    eyes=(1, 0.5),
    age=30.5,
    gender="female",
    gender_probability=0.75,
    liveness=0.5,
)
CANDIDATE = recognition.Candidate(group_id="students", user_id="2026_007", user_info="Ada", score=91.5)
WHOSE = {"app_id": 1, "group_id": "g1", "user_id": "u1"}
FACE_NAME = moving.FaceName(face_id=2, token=TOKEN)
USER_COPY = moving.UserCopy(
    row=4, group_id="students", user_id="2026_007", user_info="Ada", person=ADA, faces=(FACE_NAME,)
)
ROW = people.StudentRow(person=ADA, faces=1, created_at=AT)
CONFIG = devices.DeviceConfig(mode=devices.DeviceMode.OFFLINE, open_ms=500, greeting="你好")
DEVICE = devices.Device(
    device_id=3,
    name="东门",
    sn="SN-1",
    state=devices.DeviceState.AUTHORISED,
    proof=devices.Proof.SECRET,
    place="一号楼",
    classes=("三年二班",),
    config=CONFIG,
    config_revision=2,
    config_taken=1,
    created_at=AT,
    seen_at=AT,
    clock_offset_ms=-250,
    agent="t/1",
)
FOR_HUB = hubs.HubDevice.of(DEVICE, b"s" * 8)
SEEN = hubs.Sighting(device_id=3, at=AT, clock_offset_ms=-250, agent="t/1", config_taken=1)
ENTRY = devices.LogEntry(at=AT, by="office", action="device open_door failed", detail="late")
DEED = hubs.Deed(deed_id="o1-done", device_id=3, at=AT, by="office", action="open_door", done=True, detail="fire drill")
OPEN_DOOR = terminals.OpenDoor(seconds=2.5, reason="fire drill")
PUNCH = {"identified_event": "f-0", "punch_id": 5, "person": ADA, "place": "东门", "source": "device-3"}
RECORDED = attendance.AttendanceRecorded(**FACT, **PUNCH, captured_at=AT)
REPEATED = attendance.AttendanceRepeated(**FACT, **PUNCH, first_at=AT, captured_at=AT)
PASSWORD = office.Password(value=SecretStr("correct horse"))
STUDENT = {"num": "2026_007", "name": "Ada", "class_name": "三年二班", "gender": people.Gender.WOMAN}
PUNCH_ROW = attendance.PunchRow(
    punch_id=5, student_id=7, num="1", name="Ada", class_name="A", place="门", captured_at=AT, recorded_at=AT, score=90
)
REPORT = attendance.PunchReport(report_id="report-3-1-2", who="Ada", captured_at=AT, score=91.5)
OFFLINE = offline.OfflinePunch(seq=4, at=AT, who="2026_007", score=91.5)
REFUSED = offline.RefusedPunch(seq=4, error=offline.Refusal.UNKNOWN)
OUTCOME = attendance.ReportOutcome(report_id="report-3-1-2", state=attendance.ReportState.RECORDED, person=ADA)
ROSTER_FACE = roster.RosterFace(model="m/1", embedding=EMBEDDING)
ROSTER_ENTRY = roster.RosterEntry(person=ADA, faces=(ROSTER_FACE,))

SAMPLES: list[Message] = [
    Done(),
    ADA,
    FACES,
    ENROLLED,
    ROW,
    people.Registered(person=ADA, revision=9),
    people.RegisterStudent(request_id="r1", face=ENROLLED, **STUDENT),
    people.EditStudent(student_id=7, by="office", **STUDENT),
    library.LibraryRevision(revision=9),
    people.DeleteStudent(student_id=7, by="office"),
    people.GetStudent(student_id=7),
    people.StudentPage(rows=(ROW,), total=1, classes=("三年二班",), library_faces=1),
    people.FindStudents(text="a%", class_name="三年二班", offset=50, limit=50),
    people.Photo(jpeg=b"\xff\xd8\xff\xd9"),
    people.GetPhoto(student_id=7),
    gallery.LibraryDelta(
        revision=9,
        head=10,
        removed_faces=(1,),
        removed_users=(5,),
        removed_groups=(6,),
        removed_people=(2,),
        people=(ADA,),
        users=(USERS,),
        faces=(FACES,),
    ),
    gallery.LibraryChanges(since=3, limit=100),
    gallery.FaceChanged(**FACT, revision=9),
    USERS,
    library.App(app_id=1, name="default", qps=10, key_id=1, token_key=SecretBytes(b"k" * 8)),
    KEY,
    library.IssuedKey(key=KEY, secret_key=SecretStr("s" * 32)),
    library.CreateKey(name="default", qps=10, by="office"),
    library.Keys(keys=(KEY,)),
    library.ListKeys(after=3, limit=10),
    library.RevokeKey(api_key="a" * 24, by="office"),
    library.CheckKey(api_key="a" * 24, secret_key=SecretStr("s" * 32)),
    library.CheckSignature(api_key="a" * 24, prefix="bce-auth-v1/a", canonical="POST", signature="f" * 64),
    library.FindKey(key_id=1),
    library.KeyRevoked(**FACT, key_id=1),
    library.PutFace(**WHOSE, user_info="i", action=library.FaceAction.REPLACE, face=ENROLLED),
    library.RemoveFace(**WHOSE, face_token=TOKEN),
    library.RemoveUser(**WHOSE),
    library.CopyUser(app_id=1, user_id="u1", source="g1", destination="g2"),
    library.UserEntry(group_id="g1", user_info="i"),
    library.UserEntries(entries=(library.UserEntry(group_id="g1", user_info="i"),)),
    library.GetUser(**WHOSE),
    library.FaceEntry(face_token=TOKEN, created_at=AT),
    library.FaceEntries(faces=(library.FaceEntry(face_token=TOKEN, created_at=AT),)),
    library.ListFaces(**WHOSE),
    library.Ids(ids=("g1",)),
    library.ListUsers(app_id=1, group_id="g1", start=1, length=2),
    library.ListGroups(app_id=1, start=1, length=2),
    library.AddGroup(app_id=1, group_id="g1"),
    library.DeleteGroup(app_id=1, group_id="g1"),
    STORED,
    LOOSE,
    library.KeepFaces(faces=(LOOSE,)),
    OLD_FACE,
    library.OldFaces(faces=(OLD_FACE,)),
    library.ListOldFaces(model="m/2", after=3, limit=10),
    library.ReplaceEmbedding(app_id=1, face_id=2, model="m/2", embedding=EMBEDDING),
    library.FindFace(app_id=1, token=TOKEN),
    HUNT,
    QUESTION,
    COVERED,
    MEASURED,
    CANDIDATE,
    people.StudentChanged(**FACT, student_id=7, change="edited", by="office", num="2026_007", num_before="2025_007"),
    cloud.CloudFace(token=TOKEN),
    cloud.PutInCloud(num="2026_007", jpeg=b"\xff\xd8\xff\xd9"),
    cloud.TakeFromCloud(num="2026_007", token=TOKEN),
    FACE_NAME,
    USER_COPY,
    moving.UserCopies(app_id=1, users=(USER_COPY,)),
    moving.CopyUsers(app="default", group_id="students", user_id="2026_007", after=3, limit=10),
    moving.FaceCopy(
        token=TOKEN,
        model="m/1",
        embedding=EMBEDDING,
        box=(1, 2, 3, 4),
        jpeg=b"\xff\xd8\xff\xd9",
        created_at=AT,
        own=False,
    ),
    moving.GetFaceCopy(app_id=1, face_id=2),
    moving.NameFace(app_id=1, face_id=2, token=TOKEN),
    BOX,
    LIFE,
    TRACKED,
    REST,
    CHALLENGE,
    TRACK,
    PROBLEM,
    FACE_RESULT,
    recognition.Frame(
        frame_id="f",
        source="device-3",
        kind=recognition.SourceKind.DEVICE,
        place="东门",
        captured_at=AT,
        deadline=AT,
        want=recognition.Want.IDENTIFY,
        streaming=True,
        max_faces=3,
        jpeg=b"\xff\xd8\xff\xd9",
        track=TRACK,
        may_leave=True,
    ),
    recognition.Result(
        frame_id="f",
        source="device-3",
        captured_at=AT,
        faces=(FACE_RESULT,),
        problem=PROBLEM,
        track=TRACK,
        width=640,
        height=480,
        recognizer="r1",
        revision=9,
        took_ms=12.5,
        engine=recognition.BAIDU,
    ),
    recognition.Identified(
        **FACT,
        frame_id="f",
        student_id=7,
        place="东门",
        kind=recognition.SourceKind.DEVICE,
        source="device-3",
        captured_at=AT,
        score=91.5,
    ),
    recognition.RecognizerAlive(recognizer="r1", revision=9, leaving=True, engine=recognition.BAIDU, waiting=3),
    recognition.AtWork(source="once-1"),
    recognition.ModelInUse(model="m/2", waiting=3),
    recognition.GetModel(),
    recognition.Embedded(model="m/2", embedding=EMBEDDING),
    recognition.MeasureAgain(face=STORED),
    RECORDED,
    REPEATED,
    PUNCH_ROW,
    attendance.PunchPage(rows=(PUNCH_ROW,), total=1, classes=("A",), places=("门",)),
    attendance.PunchesOfDay(day=date(2026, 3, 1), text="a", class_name="A", place="门", offset=0, limit=10),
    attendance.PunchOutcome(settled=True, recorded=RECORDED, repeated=REPEATED),
    attendance.GetPunchOutcome(identified_event="f-0"),
    attendance.GetLastPunch(source="device-3"),
    attendance.LastPunch(punch=PUNCH_ROW),
    REPORT,
    attendance.ReportPunches(place="东门", source="device-3", classes=("三年二班",), reports=(REPORT,)),
    OUTCOME,
    attendance.ReportOutcomes(outcomes=(OUTCOME,)),
    OFFLINE,
    REFUSED,
    offline.PunchesKept(kept=((1, 3),), refused=(REFUSED,), missing=((5, 6),)),
    offline.KeepPunches(device_id=3, epoch="e1", last=7, punches=(OFFLINE,), gone=((1, 2),)),
    roster.GetRoster(classes=("三年二班",), since=3, limit=10),
    ROSTER_FACE,
    ROSTER_ENTRY,
    roster.RosterPage(revision=9, head=10, entries=(ROSTER_ENTRY,), removed=("1",)),
    DEVICE,
    CONFIG,
    devices.AddDevice(name="东门", sn="SN-1", proof=devices.Proof.SECRET, by="office"),
    devices.IssuedSecret(device=DEVICE, secret=SecretStr("s" * 64)),
    hubs.AnnounceDevice(name="东门", sn="SN-1"),
    devices.AuthoriseDevice(device_id=3, proof=devices.Proof.SECRET, by="office"),
    devices.SuspendDevice(device_id=3, by="office"),
    devices.RenewSecret(device_id=3, by="office"),
    devices.EditDevice(device_id=3, name="东门", place="一号楼", classes=("三年二班",), config=CONFIG, by="office"),
    devices.GetDevice(device_id=3),
    hubs.HubDevices.of([FOR_HUB]),
    hubs.DevicesMark(mark=9),
    hubs.TerminalsCame(hub="hub-1", ids=(3, 4), since=(AT, AT)),
    hubs.GetDevicesMark(),
    devices.NewDevice(name="东门", sn="SN-1"),
    devices.AddDevices(devices=(devices.NewDevice(name="东门", sn="SN-1"),), by="office"),
    devices.IssuedSecrets(ids=(3,), secrets=("s" * 64,)),
    devices.RemoveDevices(ids=(3,), by="office"),
    devices.RemovePending(by="office"),
    devices.PendingRemoved(count=7),
    devices.ConfigureDevices(ids=(3,), config=CONFIG, by="office"),
    devices.DevicesConfigured(**FACT, ids=(3,), revisions=(2,), config=CONFIG, by="office"),
    hubs.ListHubDevices(after=3, limit=10),
    hubs.FindHubDevices(device_id=3),
    SEEN,
    hubs.DevicesSeen(seen=(SEEN,)),
    ENTRY,
    devices.DeviceLog(entries=(ENTRY,)),
    devices.GetDeviceLog(device_id=3, limit=10),
    devices.RemoveDevice(device_id=3, by="office"),
    devices.DeviceList(devices=(DEVICE,), total=1, pending=0),
    devices.ListDevices(text="门", state=devices.DeviceState.PENDING, offset=0, limit=10),
    devices.FindDevice(name="东门", sn="SN-1"),
    devices.DeviceChanged(**FACT, device_id=3, change=devices.DeviceChange.ADDED, by="office"),
    terminals.IssuedToken(token="a" * 40, expires_in=900),
    terminals.IssueToken(name="东门", sn="SN-1", challenge="c" * 56, answer="a" * 64),
    terminals.CheckToken(token="a" * 40, spend=True),
    terminals.CheckSerial(name="东门", sn="SN-1"),
    terminals.CheckDevice(device_id=3),
    hubs.Presence(hub="h1", session="s1", since=AT),
    hubs.HubLease(hub="h1", terminals=2),
    terminals.TerminalPush(device_id=3, text="{}"),
    DEED,
    hubs.DeedsDone(deeds=(DEED,)),
    OPEN_DOOR,
    terminals.ShowMessage(zh="你好", en="hello", seconds=5),
    terminals.Restart(),
    terminals.ReloadConfig(),
    terminals.UpdateFaces(),
    terminals.TakeSnapshot(),
    terminals.OrderOutcome(ok=False, error="late", detail="it came too late"),
    terminals.TerminalOrder(order_id="o1", device_id=3, order=OPEN_DOOR, within_s=2, by="office"),
    PASSWORD,
    office.OfficeState(has_password=True, password_id=2),
    office.GetOfficeState(),
    office.SetPassword(password=PASSWORD, first=True),
    office.CheckPassword(password=PASSWORD),
    feed.FeedItem(
        kind=recognition.SourceKind.WEB,
        source="s",
        place="门",
        verdict=recognition.Verdict.UNKNOWN,
        captured_at=AT,
        age_ms=5,
    ),
]


def contract_classes() -> set[type[Message]]:
    """Every concrete message class of shared.contracts."""
    modules = [
        importlib.import_module(f"shared.contracts.{found.name}")
        for found in pkgutil.iter_modules(shared.contracts.__path__)
    ]
    bases = {Message, Signal, Event, Command}
    classes = {c for m in modules for c in vars(m).values() if isinstance(c, type) and issubclass(c, Message)}
    return {c for c in classes - bases if "[" not in c.__name__}


def golden(sample: Message) -> Path:
    return GOLDEN / f"{type(sample).__name__}.msgpack"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_golden_bytes(sample: Message) -> None:
    written = golden(sample).read_bytes()
    assert type(sample).decode(written) == sample
    assert sample.encode() == written


def test_every_message_has_golden_bytes() -> None:
    assert {type(sample) for sample in SAMPLES} == contract_classes()


def test_a_reader_ignores_fields_it_does_not_know() -> None:
    fields = msgpack.unpackb(ADA.encode(), timestamp=3)
    newer = msgpack.packb({**fields, "nickname": "Countess"})
    assert people.Person.decode(newer) == ADA


def test_an_outcome_of_a_hub_that_knew_no_pictures() -> None:
    older = msgpack.packb({"v": 1, "ok": True, "error": "", "detail": "open"})
    assert terminals.OrderOutcome.decode(older) == terminals.OrderOutcome(ok=True, detail="open")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a msgpack map"),
        (b"\xc1", "not a msgpack map"),
        (msgpack.packb([1, 2]), "not a msgpack map"),
        (msgpack.packb({"revision": 1}), "not a msgpack map with a version"),
        (msgpack.packb({"v": 2, "revision": 1}), "version 2, this program reads 1"),
        (msgpack.packb({"v": 1}), "revision: missing"),
        (msgpack.packb({"v": 1, "revision": "secret"}), "revision: int_parsing"),
    ],
)
def test_rubbish_is_named_but_not_quoted(data: bytes, reason: str) -> None:
    with pytest.raises(ContractError, match=reason) as caught:
        library.LibraryRevision.decode(data)
    assert "secret" not in str(caught.value)


def test_columns_come_back_as_rows() -> None:
    faces = [gallery.FaceRow(2**40, 1, b"abcd" * 2), gallery.FaceRow(3, 2**62, b"efgh" * 2)]
    assert list(gallery.GalleryFaces.of("m", faces).rows()) == faces
    assert list(gallery.GalleryFaces.of("m", []).rows()) == []
    users = [gallery.UserRow(2**40, "a", "甲", 7), gallery.UserRow(1, "b")]
    assert list(gallery.GroupUsers.of(1, 2, "g", users).rows()) == users


@pytest.mark.parametrize("column", ["ids", "owners", "embeddings"])
def test_faces_with_a_short_column_are_refused(column: str) -> None:
    faces = gallery.GalleryFaces.of("m", [gallery.FaceRow(1, 2, EMBEDDING), gallery.FaceRow(3, 4, EMBEDDING)])
    with pytest.raises(ValueError, match="different lengths"):
        gallery.GalleryFaces.model_validate({**faces.model_dump(), column: getattr(faces, column)[:-4]})


@pytest.mark.parametrize("column", ["owners", "user_ids", "user_infos", "students"])
def test_users_with_a_short_column_are_refused(column: str) -> None:
    users = gallery.GroupUsers.of(1, 2, "g", [gallery.UserRow(1, "a"), gallery.UserRow(2, "b")])
    with pytest.raises(ValueError, match="different lengths"):
        gallery.GroupUsers.model_validate({**users.model_dump(), column: getattr(users, column)[:-1]})


def test_subjects_are_unique_and_in_the_catalogue() -> None:
    catalogue = (Path(__file__).parents[2] / "shared" / "README.md").read_text()
    subjects = [
        c.subject for c in contract_classes() if issubclass(c, Event | Command | Signal) and hasattr(c, "subject")
    ]
    assert len(subjects) == len(set(subjects))
    missing = [subject for subject in subjects if f"`{subject}`" not in catalogue]
    assert missing == []


@pytest.mark.parametrize("text", ["", "a.b", "a b", "*", ">", "名", "x" * 65])
def test_what_is_not_a_token_cannot_enter_a_subject(text: str) -> None:
    with pytest.raises(ContractError):
        recognition.Turn.subject("g1", text)


def test_a_password_is_never_shown() -> None:
    assert "horse" not in repr(office.CheckPassword(password=PASSWORD))
    assert "horse" not in str(PASSWORD)


if __name__ == "__main__":
    for each in SAMPLES:
        golden(each).write_bytes(each.encode())
