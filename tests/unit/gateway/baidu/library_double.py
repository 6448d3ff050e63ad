"""A registry in memory that knows the face library, by the rules that shared.contracts.library states."""

import hashlib
import hmac
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretBytes

from shared.codes import FACE_TEXTS, FaceCode
from shared.contracts.base import Done
from shared.contracts.library import (
    MAX_FACES,
    STUDENTS_GROUP,
    AddGroup,
    App,
    CheckKey,
    CheckSignature,
    CopyUser,
    DeleteGroup,
    FaceAction,
    FaceEntries,
    FaceEntry,
    FindFace,
    FindKey,
    GetUser,
    Ids,
    KeepFaces,
    LibraryRevision,
    ListFaces,
    ListGroups,
    ListUsers,
    PutFace,
    RemoveFace,
    RemoveUser,
    StoredFace,
    UserEntries,
    UserEntry,
)
from shared.errors import Conflict, NotAllowed, NotFound, Unavailable

BORN = datetime(2026, 3, 1, 0, 1, 2, tzinfo=UTC)


def not_found(code: FaceCode) -> NotFound:
    return NotFound("没有", FACE_TEXTS[code], number=int(code))


def conflict(code: FaceCode) -> Conflict:
    return Conflict("冲突", FACE_TEXTS[code], number=int(code))


@dataclass
class User:
    info: str = ""
    faces: dict[str, StoredFace] = field(default_factory=dict)


@dataclass
class KeyPair:
    api_key: str
    secret_key: str
    app: App


class LibraryDouble:
    """Stands where the bus stands: `ask(command)`."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyPair] = {}
        self.groups: dict[tuple[int, str], dict[str, User]] = {}
        self.kept: dict[tuple[int, str], StoredFace] = {}
        self.asked: list[Any] = []
        self.is_away = False
        self._revision = itertools.count(1)
        self._answers: dict[type, Callable[[Any], Any]] = {
            CheckKey: self._check_key,
            CheckSignature: self._check_signature,
            FindKey: self._find_key,
            PutFace: self._put,
            RemoveFace: self._remove_face,
            RemoveUser: self._remove_user,
            CopyUser: self._copy,
            GetUser: self._get_user,
            ListFaces: self._list_faces,
            ListUsers: lambda c: _page(self._group(c), c),
            ListGroups: lambda c: _page([group for app, group in self.groups if app == c.app_id], c),
            AddGroup: self._add_group,
            DeleteGroup: self._delete_group,
            KeepFaces: self._keep,
            FindFace: self._find_face,
        }

    async def ask(self, command: Any, timeout: float | None = None) -> Any:
        if self.is_away:
            raise Unavailable(en="no answer")
        sent = type(command).decode(command.encode())  # what cannot cross the wire fails here too
        self.asked.append(sent)
        return self._answers[type(command)](sent)

    def add_key(self, app_id: int = 1, qps: float = 0) -> KeyPair:
        number = len(self.keys) + 1
        key = SecretBytes(f"token key {app_id}".encode())
        app = App(app_id=app_id, name=f"app{app_id}", qps=qps, key_id=number, token_key=key)
        pair = KeyPair(f"AK{number:022}", f"SK{number:030}", app)
        self.keys[pair.api_key] = pair
        return pair

    def revoke(self, pair: KeyPair) -> None:
        del self.keys[pair.api_key]

    def _changed(self) -> LibraryRevision:
        return LibraryRevision(revision=next(self._revision))

    def _check_key(self, c: CheckKey) -> App:
        pair = self.keys.get(c.api_key)
        if pair is None:
            raise NotAllowed("没有这个 Key", "unknown key", field="api_key")
        if pair.secret_key != c.secret_key.get_secret_value():
            raise NotAllowed("密钥不对", "wrong secret", field="secret_key")
        return pair.app

    def _check_signature(self, c: CheckSignature) -> App:
        pair = self.keys.get(c.api_key)
        if pair is None:
            raise NotAllowed("没有这个 Key", "unknown key", field="api_key")
        key = _mac(pair.secret_key, c.prefix)
        if not hmac.compare_digest(_mac(key, c.canonical), c.signature):
            raise NotAllowed("签名不对", "wrong signature", field="signature")
        return pair.app

    def _find_key(self, c: FindKey) -> App:
        for pair in self.keys.values():
            if pair.app.key_id == c.key_id:
                return pair.app
        raise NotFound("没有这个 Key", "no such key")

    def _group(self, c: Any) -> dict[str, User]:
        try:
            return self.groups[c.app_id, c.group_id]
        except KeyError:
            raise not_found(FaceCode.GROUP_MISSING) from None

    def _user(self, c: Any) -> User:
        try:
            return self.groups[c.app_id, c.group_id][c.user_id]
        except KeyError:
            raise not_found(FaceCode.USER_MISSING) from None

    def _put(self, c: PutFace) -> LibraryRevision:
        group = self.groups.get((c.app_id, c.group_id), {})
        user = group.get(c.user_id)
        if user is None and (c.action is FaceAction.UPDATE or c.group_id == STUDENTS_GROUP):
            raise not_found(FaceCode.USER_MISSING)
        user = user or User()
        mine = c.action is not FaceAction.APPEND and c.face.token in user.faces
        if any(c.face.token in other.faces for other in group.values()) and not mine:
            raise conflict(FaceCode.FACE_EXISTS)
        kept = dict(user.faces) if c.action is FaceAction.APPEND else {}
        if len(kept) >= MAX_FACES:
            raise conflict(FaceCode.TOO_MANY_FACES)
        user.faces = kept | {c.face.token: StoredFace(jpeg=c.face.jpeg, box=c.face.box)}
        user.info = user.info if c.user_info is None else c.user_info
        self.groups.setdefault((c.app_id, c.group_id), {})[c.user_id] = user
        return self._changed()

    def _remove_face(self, c: RemoveFace) -> LibraryRevision:
        user = self._user(c)
        if user.faces.pop(c.face_token, None) is None:
            raise not_found(FaceCode.FACE_MISSING)
        if not user.faces:
            del self.groups[c.app_id, c.group_id][c.user_id]
        return self._changed()

    def _everywhere(self, c: Any) -> dict[str, User]:
        """Group → the user, in one group or in all."""
        found = {
            group: users[c.user_id]
            for (app, group), users in self.groups.items()
            if app == c.app_id and c.group_id in (None, group) and c.user_id in users
        }
        if not found:
            raise not_found(FaceCode.USER_MISSING)
        return found

    def _remove_user(self, c: RemoveUser) -> LibraryRevision:
        for group in self._everywhere(c):
            del self.groups[c.app_id, group][c.user_id]
        return self._changed()

    def _copy(self, c: CopyUser) -> LibraryRevision:
        destination = self.groups.get((c.app_id, c.destination))
        if destination is None:
            raise not_found(FaceCode.DESTINATION_MISSING)
        user = self.groups.get((c.app_id, c.source), {}).get(c.user_id)
        if user is None:
            raise not_found(FaceCode.USER_MISSING)
        if c.user_id in destination:
            raise conflict(FaceCode.USER_EXISTS)
        destination[c.user_id] = User(user.info, dict(user.faces))
        return self._changed()

    def _get_user(self, c: GetUser) -> UserEntries:
        found = self._everywhere(c).items()
        return UserEntries(entries=tuple(UserEntry(group_id=group, user_info=user.info) for group, user in found))

    def _list_faces(self, c: ListFaces) -> FaceEntries:
        return FaceEntries(faces=tuple(FaceEntry(face_token=token, created_at=BORN) for token in self._user(c).faces))

    def _add_group(self, c: AddGroup) -> LibraryRevision:
        if (c.app_id, c.group_id) in self.groups:
            raise conflict(FaceCode.GROUP_EXISTS)
        self.groups[c.app_id, c.group_id] = {}
        return self._changed()

    def _delete_group(self, c: DeleteGroup) -> LibraryRevision:
        if c.group_id == STUDENTS_GROUP:
            raise NotAllowed("不能删除", "the students stay", number=int(FaceCode.NO_PERMISSION))
        self._group(c)
        del self.groups[c.app_id, c.group_id]
        return self._changed()

    def _keep(self, c: KeepFaces) -> Done:
        self.kept |= {(one.app_id, one.token): one.face for one in c.faces}
        return Done()

    def _find_face(self, c: FindFace) -> StoredFace:
        registered = [
            user.faces[c.token]
            for (app, _), users in self.groups.items()
            if app == c.app_id
            for user in users.values()
            if c.token in user.faces
        ]
        found = [*registered, *([self.kept[c.app_id, c.token]] if (c.app_id, c.token) in self.kept else [])]
        if not found:
            raise not_found(FaceCode.FACE_TOKEN_UNKNOWN)
        return found[0]


def _mac(key: str, text: str) -> str:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def _page(ids: Any, c: Any) -> Ids:
    return Ids(ids=tuple(ids)[c.start : c.start + c.length])
