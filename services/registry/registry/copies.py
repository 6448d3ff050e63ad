"""Answers whoever copies the library out."""

from typing import Any

from registry.handlers import Handler
from registry.store import export
from registry.store.database import Database
from shared.contracts.base import Command, Done
from shared.contracts.moving import CopyUsers, FaceCopy, GetFaceCopy, NameFace, UserCopies
from shared.security import Vault


class Copies:
    """Commands about the library as a whole."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {CopyUsers: self.users, GetFaceCopy: self.face, NameFace: self.name_face}

    async def users(self, asked: CopyUsers) -> UserCopies:
        return await self._database.read(lambda session: export.users(session, asked), snapshot=True)

    async def face(self, asked: GetFaceCopy) -> FaceCopy:
        return await self._database.read(lambda session: export.face(session, self._vault, asked))

    async def name_face(self, asked: NameFace) -> Done:
        return await self._database.write(lambda session: export.name_face(session, self._vault, asked))
