"""Every command that the registry answers: a message in, one transaction, a message out."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from registry.rules import Attempts, check_embedding, check_user_info, day_bounds
from registry.store import changes, devices, faces, groups, keys, office, offline, people, punches, reported, roster
from registry.store.database import Database
from registry.store.faces import seal_face
from registry.store.library import Library
from registry.sweeper import Sweeper
from shared.bus import Bus
from shared.contracts.attendance import (
    GetLastPunch,
    GetPunchOutcome,
    LastPunch,
    PunchesOfDay,
    PunchOutcome,
    PunchPage,
    ReportOutcomes,
    ReportPunches,
)
from shared.contracts.base import Command, Done
from shared.contracts.devices import (
    AddDevice,
    AddDevices,
    AuthoriseDevice,
    ConfigureDevices,
    Device,
    DeviceList,
    DeviceLog,
    EditDevice,
    FindDevice,
    GetDevice,
    GetDeviceLog,
    IssuedSecret,
    IssuedSecrets,
    ListDevices,
    PendingRemoved,
    RemoveDevice,
    RemoveDevices,
    RemovePending,
    RenewSecret,
    SuspendDevice,
)
from shared.contracts.gallery import LibraryChanges, LibraryDelta
from shared.contracts.hubs import (
    AnnounceDevice,
    DeedsDone,
    DevicesMark,
    DevicesSeen,
    FindHubDevices,
    GetDevicesMark,
    HubDevices,
    ListHubDevices,
)
from shared.contracts.library import (
    AddGroup,
    App,
    CheckKey,
    CheckSignature,
    CopyUser,
    CreateKey,
    DeleteGroup,
    FaceEntries,
    FindFace,
    FindKey,
    GetUser,
    Ids,
    IssuedKey,
    KeepFaces,
    Keys,
    LibraryRevision,
    ListFaces,
    ListGroups,
    ListKeys,
    ListUsers,
    PutFace,
    RemoveFace,
    RemoveUser,
    RevokeKey,
    StoredFace,
    UserEntries,
)
from shared.contracts.office import CheckPassword, GetOfficeState, OfficeState, SetPassword
from shared.contracts.offline import KeepPunches, PunchesKept
from shared.contracts.people import (
    DeleteStudent,
    EditStudent,
    FindStudents,
    GetPhoto,
    GetStudent,
    Photo,
    Registered,
    RegisterStudent,
    StudentPage,
    StudentRow,
)
from shared.contracts.roster import GetRoster, RosterPage
from shared.errors import NotAllowed
from shared.security import Vault

Handler = Callable[[Any], Awaitable[Any]]
HASHES_AT_ONCE = 2
"""An argon2 hash takes 64 MiB and a core."""


class Students:
    """Commands about students and their faces."""

    def __init__(self, database: Database, of: Library) -> None:
        self._database = database
        self._library = of

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {
            RegisterStudent: self.register,
            EditStudent: self.edit,
            DeleteStudent: self.delete,
            GetStudent: self.get,
            FindStudents: self.find,
            GetPhoto: self.photo,
        }

    async def register(self, asked: RegisterStudent) -> Registered:
        check_embedding(asked.face.model, asked.face.embedding)
        face = await asyncio.to_thread(seal_face, self._library, asked.face)
        return await self._database.write(lambda session: people.register(session, self._library, asked, face))

    async def edit(self, asked: EditStudent) -> Registered:
        return await self._database.write(lambda session: people.edit(session, asked))

    async def delete(self, asked: DeleteStudent) -> LibraryRevision:
        return await self._database.write(lambda session: people.remove(session, asked))

    async def get(self, asked: GetStudent) -> StudentRow:
        return await self._database.read(lambda session: people.get(session, asked.student_id))

    async def find(self, asked: FindStudents) -> StudentPage:
        return await self._database.read(lambda session: people.find(session, asked))

    async def photo(self, asked: GetPhoto) -> Photo:
        return await self._database.read(lambda session: people.photo(session, self._library, asked.student_id))


class FaceLibrary:
    """Commands about groups, users and faces of any app, and the recognizers' copies of them all."""

    def __init__(self, database: Database, school: Library, sweeper: Sweeper) -> None:
        self._database, self._school, self._sweeper = database, school, sweeper

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {
            AddGroup: self.add_group,
            DeleteGroup: self.delete_group,
            ListGroups: self.list_groups,
            PutFace: self.put_face,
            RemoveFace: self.remove_face,
            ListFaces: self.list_faces,
            RemoveUser: self.remove_user,
            GetUser: self.get_user,
            ListUsers: self.list_users,
            CopyUser: self.copy_user,
            KeepFaces: self.keep_faces,
            FindFace: self.find_face,
            LibraryChanges: self.changes,
        }

    async def add_group(self, asked: AddGroup) -> LibraryRevision:
        return await self._database.write(lambda session: groups.add_group(session, asked))

    async def delete_group(self, asked: DeleteGroup) -> LibraryRevision:
        done = await self._database.write(lambda session: groups.delete_group(session, self._school, asked))
        self._sweeper.nudge()
        return done

    async def list_groups(self, asked: ListGroups) -> Ids:
        return await self._database.read(lambda session: groups.list_groups(session, asked))

    async def put_face(self, asked: PutFace) -> LibraryRevision:
        check_embedding(asked.face.model, asked.face.embedding)
        check_user_info(asked.user_info or "")
        face = await asyncio.to_thread(seal_face, self._school, asked.face)
        return await self._database.write(lambda session: groups.put_face(session, self._school, asked, face))

    async def remove_face(self, asked: RemoveFace) -> LibraryRevision:
        return await self._database.write(lambda session: groups.remove_face(session, asked))

    async def list_faces(self, asked: ListFaces) -> FaceEntries:
        return await self._database.read(lambda session: groups.list_faces(session, asked))

    async def remove_user(self, asked: RemoveUser) -> LibraryRevision:
        return await self._database.write(lambda session: groups.remove_user(session, asked))

    async def get_user(self, asked: GetUser) -> UserEntries:
        return await self._database.read(lambda session: groups.get_user(session, asked))

    async def list_users(self, asked: ListUsers) -> Ids:
        return await self._database.read(lambda session: groups.list_users(session, asked))

    async def copy_user(self, asked: CopyUser) -> LibraryRevision:
        return await self._database.write(lambda session: groups.copy_user(session, self._school, asked))

    async def keep_faces(self, asked: KeepFaces) -> Done:
        vault = self._school.vault
        sealed = await asyncio.to_thread(faces.seal_loose, vault, asked.faces)
        return await self._database.write(lambda session: faces.keep(session, vault, asked.faces, sealed))

    async def find_face(self, asked: FindFace) -> StoredFace:
        return await self._database.read(lambda session: faces.find(session, self._school.vault, asked))

    async def changes(self, asked: LibraryChanges) -> LibraryDelta:
        vault = self._school.vault
        return await self._database.read(
            lambda session: changes.changes(session, vault, asked.since, asked.limit), snapshot=True
        )


class Keyring:
    """Commands about the apps' keys."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {
            CreateKey: self.create,
            ListKeys: self.listed,
            RevokeKey: self.revoke,
            FindKey: self.found,
            CheckKey: self.check,
            CheckSignature: self.check_signature,
        }

    async def create(self, asked: CreateKey) -> IssuedKey:
        return await self._database.write(lambda session: keys.create(session, self._vault, asked))

    async def listed(self, asked: ListKeys) -> Keys:
        return await self._database.read(lambda session: keys.listed(session, asked))

    async def revoke(self, asked: RevokeKey) -> Done:
        return await self._database.write(lambda session: keys.revoke(session, asked))

    async def found(self, asked: FindKey) -> App:
        return await self._database.read(lambda session: keys.found(session, self._vault, asked))

    async def check(self, asked: CheckKey) -> App:
        return await self._database.read(lambda session: keys.check(session, self._vault, asked))

    async def check_signature(self, asked: CheckSignature) -> App:
        return await self._database.read(lambda session: keys.check_signature(session, self._vault, asked))


class Attendance:
    """Questions about punches."""

    def __init__(self, database: Database, zone: ZoneInfo) -> None:
        self._database = database
        self._zone = zone

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {PunchesOfDay: self.of_day, GetPunchOutcome: self.outcome}

    async def of_day(self, asked: PunchesOfDay) -> PunchPage:
        bounds = day_bounds(asked.day, self._zone)
        return await self._database.read(lambda session: punches.of_day(session, asked, bounds))

    async def outcome(self, asked: GetPunchOutcome) -> PunchOutcome:
        return await self._database.read(lambda session: punches.outcome(session, asked.identified_event))


class Devices:
    """Commands about terminals."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {
            AddDevice: self.add,
            AddDevices: self.add_many,
            RemoveDevices: self.remove_many,
            ConfigureDevices: self.configure_many,
            GetDevicesMark: self.mark,
            AnnounceDevice: self.announce,
            AuthoriseDevice: self.authorise,
            SuspendDevice: self.suspend,
            RenewSecret: self.renew_secret,
            EditDevice: self.edit,
            RemoveDevice: self.remove,
            RemovePending: self.remove_pending,
            ListDevices: self.listed,
            GetDevice: self.get,
            FindDevice: self.found,
            GetDeviceLog: self.log,
            ListHubDevices: self.listed_for_hub,
            FindHubDevices: self.found_for_hub,
            DevicesSeen: self.seen,
            DeedsDone: self.deeds_done,
        }

    async def add(self, asked: AddDevice) -> IssuedSecret:
        return await self._database.write(lambda session: devices.add(session, self._vault, asked))

    async def add_many(self, asked: AddDevices) -> IssuedSecrets:
        return await self._database.write(lambda session: devices.add_many(session, self._vault, asked))

    async def remove_many(self, asked: RemoveDevices) -> Done:
        return await self._database.write(lambda session: devices.remove_many(session, asked))

    async def configure_many(self, asked: ConfigureDevices) -> Done:
        return await self._database.write(lambda session: devices.configure_many(session, asked))

    async def mark(self, asked: GetDevicesMark) -> DevicesMark:
        return await self._database.read(devices.mark)

    async def announce(self, asked: AnnounceDevice) -> Device:
        return await self._database.write(lambda session: devices.announced(session, asked))

    async def authorise(self, asked: AuthoriseDevice) -> IssuedSecret:
        return await self._database.write(lambda session: devices.authorise(session, self._vault, asked))

    async def suspend(self, asked: SuspendDevice) -> Device:
        return await self._database.write(lambda session: devices.suspend(session, asked))

    async def renew_secret(self, asked: RenewSecret) -> IssuedSecret:
        return await self._database.write(lambda session: devices.renew_secret(session, self._vault, asked))

    async def edit(self, asked: EditDevice) -> Device:
        return await self._database.write(lambda session: devices.edit(session, asked))

    async def remove(self, asked: RemoveDevice) -> Done:
        return await self._database.write(lambda session: devices.remove(session, asked))

    async def remove_pending(self, asked: RemovePending) -> PendingRemoved:
        return await self._database.write(lambda session: devices.remove_pending(session, asked))

    async def listed(self, asked: ListDevices) -> DeviceList:
        return await self._database.read(lambda session: devices.listed(session, asked))

    async def get(self, asked: GetDevice) -> Device:
        return await self._database.read(lambda session: devices.get(session, asked))

    async def found(self, asked: FindDevice) -> DeviceList:
        return await self._database.read(lambda session: devices.found(session, asked))

    async def log(self, asked: GetDeviceLog) -> DeviceLog:
        return await self._database.read(lambda session: devices.log(session, asked))

    async def listed_for_hub(self, asked: ListHubDevices) -> HubDevices:
        return await self._database.read(lambda session: devices.listed_for_hub(session, self._vault, asked))

    async def found_for_hub(self, asked: FindHubDevices) -> HubDevices:
        return await self._database.read(lambda session: devices.found_for_hub(session, self._vault, asked))

    async def seen(self, asked: DevicesSeen) -> Done:
        return await self._database.write(lambda session: devices.seen(session, asked))

    async def deeds_done(self, asked: DeedsDone) -> Done:
        return await self._database.write(lambda session: devices.deeds_done(session, asked))


class Terminals:
    """What terminals that recognise by themselves need, and what they tell."""

    def __init__(self, database: Database, vault: Vault, debounce_s: float) -> None:
        self._database, self._vault, self._debounce_s = database, vault, debounce_s

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {
            GetRoster: self.roster,
            ReportPunches: self.report,
            KeepPunches: self.keep,
            GetLastPunch: self.last_punch,
        }

    async def roster(self, asked: GetRoster) -> RosterPage:
        return await self._database.read(lambda session: roster.roster(session, self._vault, asked), snapshot=True)

    async def report(self, asked: ReportPunches) -> ReportOutcomes:
        return await self._database.write(lambda session: reported.report(session, asked, self._debounce_s))

    async def keep(self, asked: KeepPunches) -> PunchesKept:
        return await self._database.write(lambda session: offline.keep(session, asked, self._debounce_s))

    async def last_punch(self, asked: GetLastPunch) -> LastPunch:
        return await self._database.read(lambda session: punches.last(session, asked.source))


class Office:
    """The office's password. `clock` counts seconds; tests bring their own."""

    def __init__(self, database: Database, hasher: PasswordHasher, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._hasher = hasher
        self._clock = clock
        self._attempts = Attempts()
        self._room = asyncio.Semaphore(HASHES_AT_ONCE)

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {GetOfficeState: self.state, SetPassword: self.set, CheckPassword: self.check}

    async def state(self, asked: GetOfficeState) -> OfficeState:
        return office.state(await self._database.read(office.account))

    async def set(self, asked: SetPassword) -> OfficeState:
        async with self._room:
            made = await asyncio.to_thread(self._hasher.hash, asked.password.value.get_secret_value())
        return await self._database.write(lambda session: office.set_hash(session, made, first=asked.first))

    async def check(self, asked: CheckPassword) -> OfficeState:
        """Raises NotAllowed; `number` then says how many seconds to wait, if any."""
        async with self._room:
            self._refuse_haste()
            account = await self._database.read(office.account)
            if account is None or not await self._verifies(account.password_hash, asked):
                self._attempts.failed(self._clock())
                raise NotAllowed("密码不对", "wrong password", field="password")
            self._attempts.succeeded()
            return office.state(account)

    def _refuse_haste(self) -> None:
        wait = self._attempts.wait_s(self._clock())
        if wait > 0:
            seconds = int(wait) + 1
            raise NotAllowed(f"尝试太多，请 {seconds} 秒后再试", f"wait {seconds} s", field="password", number=seconds)

    async def _verifies(self, password_hash: str, asked: CheckPassword) -> bool:
        try:
            await asyncio.to_thread(self._hasher.verify, password_hash, asked.password.value.get_secret_value())
        except VerifyMismatchError:
            return False
        return True


class Desk(Protocol):
    """Answers some commands."""

    def table(self) -> dict[type[Command[Any]], Handler]: ...


async def serve(bus: Bus, *desks: Desk) -> None:
    """Answer the commands of these desks."""
    for desk in desks:
        for command, handler in desk.table().items():
            await bus.serve(command, handler)
