"""A registry in memory: answers the commands that the pages ask, by the rules that the contracts state."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from shared.contracts.attendance import PunchesOfDay, PunchPage, PunchRow
from shared.contracts.base import Done
from shared.contracts.devices import (
    AddDevice,
    AuthoriseDevice,
    Device,
    DeviceList,
    DeviceLog,
    DeviceState,
    EditDevice,
    GetDevice,
    GetDeviceLog,
    IssuedSecret,
    ListDevices,
    LogEntry,
    PendingRemoved,
    Proof,
    RemoveDevice,
    RemovePending,
    RenewSecret,
    SuspendDevice,
)
from shared.contracts.library import LibraryRevision
from shared.contracts.office import CheckPassword, GetOfficeState, OfficeState, SetPassword
from shared.contracts.people import (
    DeleteStudent,
    EditStudent,
    FindStudents,
    Gender,
    GetPhoto,
    GetStudent,
    Person,
    Photo,
    Registered,
    StudentPage,
    StudentRow,
)
from shared.errors import Conflict, NotAllowed, NotFound, Unavailable

ZONE = ZoneInfo("Asia/Shanghai")
JPEG = b"\xff\xd8\xff\xe0 not really"


class RegistryDouble:
    """Stands where the bus stands: `ask(command)`."""

    def __init__(self) -> None:
        self.password = ""
        self.password_id = 0
        self.students: dict[int, StudentRow] = {}
        self.photos: dict[int, bytes] = {}
        self.punches: list[PunchRow] = []
        self.devices: dict[int, Device] = {}
        self.device_log = (LogEntry(at=datetime.now(UTC), by="office", action="device added"),)
        self.revision = 0
        self.is_away = False
        self._answers: dict[type, Callable[[Any], Any]] = {
            GetOfficeState: lambda _: self._state(),
            SetPassword: self._set_password,
            CheckPassword: self._check_password,
            FindStudents: self._find,
            GetStudent: lambda c: self._student(c.student_id),
            EditStudent: self._edit,
            DeleteStudent: self._delete,
            GetPhoto: self._photo,
            PunchesOfDay: self._punches,
            ListDevices: self._list_devices,
            GetDevice: lambda c: self._device(c.device_id),
            GetDeviceLog: self._device_log,
            EditDevice: self._edit_device,
            AuthoriseDevice: lambda c: self._let_in(
                self._device(c.device_id), c.proof or self._device(c.device_id).proof
            ),
            RenewSecret: lambda c: self._let_in(self._device(c.device_id), Proof.SECRET),
            SuspendDevice: lambda c: self._change(c.device_id, state=DeviceState.SUSPENDED),
            AddDevice: self._add_device,
            RemoveDevice: self._remove_device,
            RemovePending: lambda _: self._remove_pending(),
        }

    async def ask(self, command: Any, timeout: float | None = None) -> Any:
        if self.is_away:
            raise Unavailable(en="no answer")
        sent = type(command).decode(command.encode())  # what cannot cross the wire fails here too
        return self._answers[type(command)](sent)

    def add_student(
        self, num: str, name: str, class_name: str, gender: Gender = Gender.MAN, photo: bytes = JPEG
    ) -> Person:
        self._free(num, 0)
        person = Person(student_id=len(self.students) + 1, num=num, name=name, class_name=class_name, gender=gender)
        self.students[person.student_id] = StudentRow(person=person, faces=1, created_at=datetime.now(UTC))
        self.photos[person.student_id] = photo
        self.revision += 1
        return person

    def add_punch(self, person: Person, place: str, at: datetime, score: float = 93.4) -> PunchRow:
        row = PunchRow(
            punch_id=len(self.punches) + 1,
            student_id=person.student_id,
            num=person.num,
            name=person.name,
            class_name=person.class_name,
            place=place,
            captured_at=at,
            recorded_at=at,
            score=score,
        )
        self.punches.append(row)
        return row

    def _state(self) -> OfficeState:
        return OfficeState(has_password=bool(self.password), password_id=self.password_id)

    def _set_password(self, command: SetPassword) -> OfficeState:
        if command.first and self.password:
            raise Conflict("已有密码", "there is a password")
        self.password, self.password_id = command.password.value.get_secret_value(), self.password_id + 1
        return self._state()

    def _check_password(self, command: CheckPassword) -> OfficeState:
        if command.password.value.get_secret_value() != self.password:
            raise NotAllowed("密码不对", "wrong password")
        return self._state()

    def _find(self, command: FindStudents) -> StudentPage:
        rows = [row for row in self.students.values() if _matches(row.person, command.text, command.class_name)]
        rows.sort(key=lambda row: (row.person.class_name, row.person.num))
        classes = tuple(sorted({row.person.class_name for row in self.students.values()}))
        page = tuple(rows[command.offset : command.offset + command.limit])
        return StudentPage(rows=page, total=len(rows), classes=classes)

    def _student(self, student_id: int) -> StudentRow:
        if student_id not in self.students:
            raise NotFound("没有这个学生", "no such student")
        return self.students[student_id]

    def _free(self, num: str, student_id: int) -> None:
        if any(row.person.num == num and key != student_id for key, row in self.students.items()):
            raise Conflict(f"学号 {num} 已被使用", f"number {num} is taken", field="num")

    def _edit(self, command: EditStudent) -> Registered:
        row = self._student(command.student_id)
        self._free(command.num, command.student_id)
        person = Person.model_validate(command.model_dump(exclude={"by"}))
        self.students[command.student_id] = row.model_copy(update={"person": person})
        return Registered(person=person, revision=self.revision)

    def _delete(self, command: DeleteStudent) -> LibraryRevision:
        self._student(command.student_id)
        del self.students[command.student_id]
        self.revision += 1
        return LibraryRevision(revision=self.revision)

    def _photo(self, command: GetPhoto) -> Photo:
        self._student(command.student_id)
        return Photo(jpeg=self.photos[command.student_id])

    def _punches(self, command: PunchesOfDay) -> PunchPage:
        of_day = [row for row in self.punches if row.captured_at.astimezone(ZONE).date() == command.day]
        found = [
            row
            for row in of_day
            if _matches(row, command.text, command.class_name) and command.place in ("", row.place)
        ]
        found.sort(key=lambda row: row.captured_at, reverse=True)
        return PunchPage(
            rows=tuple(found[command.offset : command.offset + command.limit]),
            total=len(found),
            classes=tuple(sorted({row.class_name for row in of_day})),
            places=tuple(sorted({row.place for row in of_day})),
        )

    def _add_device(self, command: AddDevice) -> IssuedSecret:
        if any(command.name == device.name or command.sn == device.sn for device in self.devices.values()):
            raise Conflict("名称或序列号已被使用", "the name or the serial number is taken")
        return self._let_in(self.add_waiting_device(command.name, command.sn), command.proof)

    def add_waiting_device(self, name: str, sn: str) -> Device:
        """A terminal that announced itself."""
        number = len(self.devices) + 1
        device = Device(
            device_id=number,
            name=name,
            sn=sn,
            state=DeviceState.PENDING,
            proof=Proof.SECRET,
            created_at=datetime.now(UTC),
        )
        self.devices[number] = device
        return device

    def _let_in(self, device: Device, proof: Proof) -> IssuedSecret:
        secret = "5ec2e7" if proof is Proof.SECRET else ""
        changed = self._change(device.device_id, state=DeviceState.AUTHORISED, proof=proof)
        return IssuedSecret(device=changed, secret=SecretStr(secret))

    def _change(self, device_id: int, **fields: object) -> Device:
        self.devices[device_id] = self._device(device_id).model_copy(update=fields)
        return self.devices[device_id]

    def _device(self, device_id: int) -> Device:
        if device_id not in self.devices:
            raise NotFound("没有这台设备", "no such device")
        return self.devices[device_id]

    def _list_devices(self, command: ListDevices) -> DeviceList:
        found = [device for device in self.devices.values() if command.text in device.name]
        waiting = sum(device.state is DeviceState.PENDING for device in self.devices.values())
        page = found[command.offset : command.offset + command.limit]
        return DeviceList(devices=tuple(page), total=len(found), pending=waiting)

    def _edit_device(self, command: EditDevice) -> Device:
        fields = {"name", "place", "classes", "tokens", "config"}
        return self._change(command.device_id, **{name: getattr(command, name) for name in fields})

    def _device_log(self, command: GetDeviceLog) -> DeviceLog:
        return DeviceLog(entries=self.device_log)

    def _remove_device(self, command: RemoveDevice) -> Done:
        if self.devices.pop(command.device_id, None) is None:
            raise NotFound("没有这台设备", "no such device")
        return Done()

    def _remove_pending(self) -> PendingRemoved:
        waiting = [key for key, device in self.devices.items() if device.state is DeviceState.PENDING]
        for key in waiting:
            del self.devices[key]
        return PendingRemoved(count=len(waiting))


def _matches(who: Person | PunchRow, text: str, class_name: str) -> bool:
    return (text in who.name or text in who.num) and class_name in ("", who.class_name)
