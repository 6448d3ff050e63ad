"""Keeping the students' group in the cloud equal to the registry's: compare, and mend the cloud. The registry is the
truth; faces are told apart by their tokens, which here are the cloud's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from shared.baidu.client import Cloud
from shared.baidu.replies import FACE_EXISTS, FACE_MISSING, USER_MISSING
from shared.bus import Bus
from shared.contracts.library import STUDENTS_GROUP
from shared.contracts.moving import CopyUsers, GetFaceCopy, NameFace
from shared.errors import CloudRefused

log = structlog.get_logger("twin")

OURS: Final = "rollcall"
"""user_info of every user that Rollcall makes in the cloud: others are somebody else's, and are left alone"""
PATIENCE_S: Final = 8.0
"""of one call, in seconds: nobody stands at a door and waits"""


@dataclass(frozen=True, slots=True)
class Truth:
    """A student's faces in the registry: token → face id."""

    app_id: int
    faces: Mapping[str, int]


async def truth_of(bus: Bus, num: str) -> Truth:
    """Without faces when there is no such student."""
    found = await bus.ask(CopyUsers(group_id=STUDENTS_GROUP, user_id=num))
    faces = {face.token: face.face_id for user in found.users for face in user.faces}
    return Truth(found.app_id, faces)


async def tokens_of(cloud: Cloud, group: str, num: str) -> set[str]:
    """The user's faces in the cloud; none when there is no such user."""
    return {face.face_token for face in await cloud.faces(group, num, within=PATIENCE_S)}


async def is_ours(cloud: Cloud, group: str, num: str) -> bool:
    """Whether Rollcall made this user. Raises CloudRefused 223103 when there is none."""
    return await cloud.user_info(group, num, within=PATIENCE_S) == OURS


async def make_equal(
    bus: Bus, cloud: Cloud, group: str, num: str, truth: Truth, *, upload: bool, foreign: bool = False
) -> bool:
    """Give the cloud what the registry has under this number, and no more; whether anything had to be done.

    `upload`: also photos that were never there. Without it only photos that the cloud once took are given to it, since
    only their owners were asked. `foreign`: also take faces from a user that Rollcall did not make. Surplus goes first,
    so that nobody is taken for somebody else in between. Raises CloudRefused (the user is not ours, a photo is not good
    enough for the cloud), CloudAway, Unavailable; to begin again is safe.
    """
    there = await tokens_of(cloud, group, num)
    surplus, missing = there - set(truth.faces), set(truth.faces) - there
    if surplus and not foreign and not await is_ours(cloud, group, num):
        raise CloudRefused("云端该用户不是 Rollcall 建立的", "the cloud's user of this number was not made by Rollcall")
    if surplus and surplus == there:
        await drop_user(cloud, group, num)
    else:
        for token in surplus:
            await drop_face(cloud, group, num, token)
    added = [await _add(bus, cloud, group, num, truth, token, upload=upload) for token in sorted(missing)]
    return bool(surplus) or any(added)


async def _add(bus: Bus, cloud: Cloud, group: str, num: str, truth: Truth, token: str, *, upload: bool) -> bool:
    """Show a photo to the cloud, and call the face by the token that the cloud gives it."""
    face = await bus.ask(GetFaceCopy(app_id=truth.app_id, face_id=truth.faces[token]))
    if face.own and not upload:
        log.warning("not uploaded: nobody was asked; see `rollcall baidu reconcile`", face_id=truth.faces[token])
        return False
    if not face.jpeg:
        raise CloudRefused("没有保存照片，无法上传", "the photo was not kept, so the cloud cannot have it")
    try:
        given = await cloud.add(face.jpeg, group, num, OURS, within=PATIENCE_S)
    except CloudRefused as error:
        if error.number == FACE_EXISTS and token in await tokens_of(cloud, group, num):
            return False  # somebody else who mends was faster
        raise
    await bus.ask(NameFace(app_id=truth.app_id, face_id=truth.faces[token], token=given))
    return True


async def drop_user(cloud: Cloud, group: str, num: str) -> None:
    """Done when there is no such user."""
    try:
        await cloud.delete_user(group, num, within=PATIENCE_S)
    except CloudRefused as error:
        if error.number != USER_MISSING:
            raise


async def drop_face(cloud: Cloud, group: str, num: str, token: str) -> None:
    """Done when there is no such face."""
    try:
        await cloud.delete_face(group, num, token, within=PATIENCE_S)
    except CloudRefused as error:
        if error.number not in (USER_MISSING, FACE_MISSING):
            raise
