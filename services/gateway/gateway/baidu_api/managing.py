"""Groups, users and faces of the library: listed, copied, removed (V3 §3.8)."""

from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.baidu_api import parameters
from gateway.baidu_api.reading import Fields
from gateway.clockin import Indexes
from shared.bus import Bus
from shared.contracts.base import Command
from shared.contracts.library import (
    AddGroup,
    App,
    CopyUser,
    DeleteGroup,
    FaceEntry,
    GetUser,
    LibraryRevision,
    ListFaces,
    ListGroups,
    ListUsers,
    RemoveFace,
    RemoveUser,
)

TIME: Final = "%Y-%m-%d %H:%M:%S"


class Managing:
    """Nine calls. What changes the library answers when every recognizer knows. `zone`: of the times in answers."""

    def __init__(self, bus: Bus, indexes: Indexes, zone: ZoneInfo) -> None:
        self._bus, self._indexes, self._zone = bus, indexes, zone

    async def remove_face(self, app: App, sent: Fields) -> None:
        """Raises 223103, 223106."""
        user_id, group_id = parameters.user(sent), parameters.group(sent)
        token = parameters.face_token(sent)
        await self._change(RemoveFace(app_id=app.app_id, group_id=group_id, user_id=user_id, face_token=token))

    async def get_user(self, app: App, sent: Fields) -> dict[str, Any]:
        """Raises 223103."""
        user_id, group_id = parameters.user(sent), parameters.group_or_all(sent)
        found = await self._bus.ask(GetUser(app_id=app.app_id, group_id=group_id, user_id=user_id))
        return {"user_list": [{"user_info": e.user_info, "group_id": e.group_id} for e in found.entries]}

    async def list_faces(self, app: App, sent: Fields) -> dict[str, Any]:
        """Oldest first. Raises 223103."""
        user_id, group_id = parameters.user(sent), parameters.group(sent)
        found = await self._bus.ask(ListFaces(app_id=app.app_id, group_id=group_id, user_id=user_id))
        return {"face_list": [self._face(entry) for entry in found.faces]}

    async def list_users(self, app: App, sent: Fields) -> dict[str, Any]:
        """Raises 223100."""
        group_id, (start, length) = parameters.group(sent), parameters.page(sent)
        found = await self._bus.ask(ListUsers(app_id=app.app_id, group_id=group_id, start=start, length=length))
        return {"user_id_list": list(found.ids)}

    async def copy_user(self, app: App, sent: Fields) -> None:
        """Raises 223102, 223103, 223111."""
        asked = parameters.copying(sent)
        await self._change(
            CopyUser(app_id=app.app_id, user_id=asked.user_id, source=asked.source, destination=asked.destination)
        )

    async def remove_user(self, app: App, sent: Fields) -> None:
        """Raises 223103."""
        group_id, user_id = parameters.group_or_all(sent), parameters.user(sent)
        await self._change(RemoveUser(app_id=app.app_id, group_id=group_id, user_id=user_id))

    async def add_group(self, app: App, sent: Fields) -> None:
        """Raises 223101."""
        await self._bus.ask(AddGroup(app_id=app.app_id, group_id=parameters.group(sent)))

    async def delete_group(self, app: App, sent: Fields) -> None:
        """Raises 223100, 6 for the students' group."""
        await self._change(DeleteGroup(app_id=app.app_id, group_id=parameters.group(sent)))

    async def list_groups(self, app: App, sent: Fields) -> dict[str, Any]:
        """All of the app's."""
        start, length = parameters.page(sent)
        found = await self._bus.ask(ListGroups(app_id=app.app_id, start=start, length=length))
        return {"group_id_list": list(found.ids)}

    async def _change(self, command: Command[LibraryRevision]) -> None:
        changed = await self._bus.ask(command)
        await self._indexes.reach(changed.revision)

    def _face(self, entry: FaceEntry) -> dict[str, str]:
        return {"face_token": entry.face_token, "ctime": entry.created_at.astimezone(self._zone).strftime(TIME)}
