"""Answers whoever has the photos measured again after the model changed."""

from typing import Any

from registry.handlers import Handler
from registry.rules import check_embedding
from registry.store import remeasured
from registry.store.database import Database
from shared.contracts.base import Command
from shared.contracts.library import LibraryRevision, ListOldFaces, OldFaces, ReplaceEmbedding
from shared.security import Vault


class Remeasured:
    """Commands about faces that an earlier model measured."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database, self._vault = database, vault

    def table(self) -> dict[type[Command[Any]], Handler]:
        return {ListOldFaces: self.old_faces, ReplaceEmbedding: self.replace}

    async def old_faces(self, asked: ListOldFaces) -> OldFaces:
        return await self._database.read(lambda session: remeasured.old_faces(session, asked))

    async def replace(self, asked: ReplaceEmbedding) -> LibraryRevision:
        check_embedding(asked.model, asked.embedding)
        return await self._database.write(lambda session: remeasured.replace(session, self._vault, asked))
