"""What the terminal API needs of a gateway, in memory: one terminal with tokens, a registry and recognizers by hand."""

import itertools
from collections.abc import Callable
from typing import Any

import httpx
from fastapi import FastAPI

from gateway.clockin import Enrolled, StudentForm
from gateway.decoding import Decoding
from gateway.settings import GatewaySettings
from gateway.terminal_api.routes import terminal_api
from shared.codes import DeviceCode
from shared.contracts.attendance import (
    GetLastPunch,
    LastPunch,
    PunchReport,
    ReportOutcome,
    ReportOutcomes,
    ReportPunches,
    ReportState,
)
from shared.contracts.base import Command, Message, now
from shared.contracts.devices import Device, DeviceState, Proof
from shared.contracts.people import Gender, GetPhoto, GetStudent, Person, Photo, StudentRow
from shared.contracts.recognition import FaceResult
from shared.contracts.roster import GetRoster, RosterPage
from shared.contracts.terminals import CheckDevice, CheckSerial, CheckToken, IssuedToken, IssueToken
from shared.errors import DeviceRefused, NotAllowed, NotFound
from tests.unit.gateway.baidu.vision_double import VisionDouble, a_face
from tests.unit.gateway.pages.gateway_double import SECRET

JPEG = b"\xff\xd8a photo\xff\xd9"
ADA = Person(student_id=7, num="2026_007", name="艾达", class_name="一班", gender=Gender.WOMAN)


class HubDouble:
    """Tokens t1, t2, … that are good once."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.good: set[str] = set()
        self.announced: set[str] = set()
        """serial numbers of others"""
        self._numbers = itertools.count(1)

    def issue(self, asked: IssueToken) -> IssuedToken:
        if asked.sn not in ("", self.device.sn):
            if asked.announce:
                self.announced.add(asked.sn)
            raise DeviceRefused("未登记", "unknown", number=int(DeviceCode.PERMISSION_DENIED))
        token = f"t{next(self._numbers)}"
        self.good.add(token)
        return IssuedToken(token=token, expires_in=900)

    def check(self, asked: CheckToken) -> Device:
        if asked.token not in self.good:
            raise NotAllowed("令牌已使用过", "it was used", number=int(DeviceCode.PERMISSION_DENIED))
        if asked.spend:
            self.good.remove(asked.token)
        return self.device

    def check_serial(self, asked: CheckSerial) -> Device:
        if asked.name == self.device.name and asked.sn != self.device.sn:
            raise DeviceRefused("不符", "mismatched", number=int(DeviceCode.NAME_SERIAL_MISMATCH))
        if self.device.proof is not Proof.SERIAL or (asked.name, asked.sn) != (self.device.name, self.device.sn):
            raise DeviceRefused("需要令牌", "a token is needed", number=int(DeviceCode.PERMISSION_DENIED))
        return self.device

    def check_device(self, asked: CheckDevice) -> Device:
        if asked.device_id != self.device.device_id or not self.device.authorised:
            raise NotAllowed("未授权", "not authorised", number=int(DeviceCode.PERMISSION_DENIED))
        return self.device


class RegistryDouble:
    """One student; what was reported; pages of the roster as the test lays them down."""

    def __init__(self) -> None:
        self.student = ADA
        self.reports: list[ReportPunches] = []
        self.last = LastPunch()
        self.pages: dict[int, RosterPage] = {}
        self.rosters: list[GetRoster] = []
        self.state = ReportState.RECORDED

    def report(self, asked: ReportPunches) -> ReportOutcomes:
        self.reports.append(asked)
        return ReportOutcomes(outcomes=tuple(map(self._outcome, asked.reports)))

    def _outcome(self, report: PunchReport) -> ReportOutcome:
        return ReportOutcome(report_id=report.report_id, state=self.state)

    def roster(self, asked: GetRoster) -> RosterPage:
        self.rosters.append(asked)
        newest = max((page.head for page in self.pages.values()), default=0)
        return self.pages.get(asked.since, RosterPage(revision=newest, head=newest))

    def get_student(self, asked: GetStudent) -> StudentRow:
        if asked.student_id != self.student.student_id:
            raise NotFound("没有", "no such student")
        return StudentRow(person=self.student, faces=1, created_at=now())

    def photo(self, asked: GetPhoto) -> Photo:
        return Photo(jpeg=JPEG)


class BusDouble:
    """Answers commands by function."""

    def __init__(self, hub: HubDouble, registry: RegistryDouble) -> None:
        self.broken: Exception | None = None
        self._handlers: dict[type[Command[Any]], Callable[[Any], Message]] = {
            IssueToken: hub.issue,
            CheckToken: hub.check,
            CheckSerial: hub.check_serial,
            CheckDevice: hub.check_device,
            ReportPunches: registry.report,
            GetLastPunch: lambda asked: registry.last,
            GetRoster: registry.roster,
            GetStudent: registry.get_student,
            GetPhoto: registry.photo,
        }

    async def ask(self, command: Command[Any]) -> Message:
        if self.broken:
            raise self.broken
        sent = type(command).decode(command.encode())  # as the wire would
        return self._handlers[type(command)](sent)


class RecognitionDouble:
    """Enrols the face that the test lays down."""

    def __init__(self) -> None:
        self.face = a_face()
        self.refusal: Exception | None = None
        self.enrolled: list[StudentForm] = []

    async def enrol(
        self, form: StudentForm, picture: bytes, accept: Callable[[FaceResult], None] = lambda face: None
    ) -> Enrolled:
        if self.refusal:
            raise self.refusal
        accept(self.face)
        self.enrolled.append(form)
        return Enrolled(ADA, True)


class HostDouble:
    """A gateway with one terminal."""

    def __init__(self, bus: Any = None, **device: Any) -> None:
        known = {"device_id": 3, "name": "东门", "sn": "E-1", "state": DeviceState.AUTHORISED, "created_at": now()}
        self.hub = HubDouble(Device(**{**known, "proof": Proof.SECRET, **device}))
        self.registry = RegistryDouble()
        self.bus = bus or BusDouble(self.hub, self.registry)
        self.frames, self.recognition, self.decoding = VisionDouble(), RecognitionDouble(), Decoding()
        given: dict[str, Any] = {"nats_password": "none", "secret": SECRET}
        self.settings = GatewaySettings(**given)

    def token(self) -> str:
        return self.hub.issue(IssueToken(name="", sn="")).token

    def web(self) -> httpx.AsyncClient:
        app = FastAPI()
        app.include_router(terminal_api(self))
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://school:8000")
