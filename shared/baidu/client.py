"""The client: one token for all, calls spaced, refusals told apart, a circuit breaker, and no secret in any word."""

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

import httpx
import structlog
from pydantic import SecretStr, ValidationError

from shared.baidu.limits import Breaker, Clock, State, TokenBucket, backoff_s
from shared.baidu.replies import (
    KEYS_REFUSED,
    NO_MATCH,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    TOO_FAST,
    USER_MISSING,
    Added,
    Detected,
    DetectedFace,
    Envelope,
    FaceItem,
    Faces,
    Found,
    Groups,
    Match,
    Reply,
    Token,
    UserInfo,
    Users,
    refusal,
)
from shared.errors import CloudAway, CloudRefused

log = structlog.get_logger("baidu")

BAIDU_URL: Final = "https://aip.baidubce.com"
FREE_QPS: Final = 2.0
"""calls per second and interface of an account that pays nothing"""
MAX_REPLY: Final = 2 * 2**20
"""bytes; a page of 1,000 users is 150 kB"""
TRIES: Final = 5
"""of one call that is refused with 18"""
PAGE: Final = 1_000
"""users or groups asked for at once, Baidu's most"""
AT_REST: Final = "the cloud has not answered lately and is given a rest"
LEAST_TOKEN_S: Final = 30.0
"""a token is kept at least this long, however soon it ends: else every call would fetch one"""

R = TypeVar("R", bound=Reply)


class Interface(StrEnum):
    """Each has its own allowance of calls per second."""

    DETECT = "detect"
    SEARCH = "search"
    USER_ADD = "faceset/user/add"
    USER_GET = "faceset/user/get"
    USER_DELETE = "faceset/user/delete"
    FACE_LIST = "faceset/face/getlist"
    FACE_DELETE = "faceset/face/delete"
    GROUP_ADD = "faceset/group/add"
    GROUP_LIST = "faceset/group/getlist"
    GROUP_USERS = "faceset/group/getusers"


@dataclass(frozen=True, slots=True)
class CloudSettings:
    """Whose library, and how patiently. `qps` holds per interface and for this process alone: processes that share
    an account share its allowance."""

    api_key: SecretStr
    secret_key: SecretStr
    url: str = BAIDU_URL
    qps: float = FREE_QPS
    call_s: float = 8.0
    """one exchange, in seconds: a photo of 2 MB over a slow line; who cannot wait so long says `within`"""
    quality: str = "NORMAL"
    liveness: str = "LOW"
    """quality_control and liveness_control of search and add, as the seed sets them"""
    failures: int = 5
    """in a row, after which nobody asks for `rest_s`"""
    rest_s: float = 15.0


class Cloud:
    """One Baidu account's face library. Open with `open_cloud`; any number of tasks may use it at once.

    Every call raises CloudRefused (the picture or the request is at fault; Baidu's code in `number`) or CloudAway
    (not reached, not in time, too busy, not understood) no later than `within` seconds after it began.
    """

    def __init__(self, settings: CloudSettings, http: httpx.AsyncClient, clock: Clock = time.monotonic) -> None:
        self._settings, self._http = settings, http
        self._tokens = _Tokens(settings, http, clock)
        self._breaker = Breaker(settings.failures, settings.rest_s, clock)
        self._buckets = {interface: TokenBucket(settings.qps, clock) for interface in Interface}

    @property
    def state(self) -> State:
        """Of the circuit: OPEN means that calls fail at once."""
        return self._breaker.state

    def has_room(self, *interfaces: Interface) -> bool:
        """Whether calls to these would go out now, without waiting."""
        return self._breaker.admits() and all(self._buckets[i].wait_s() <= 0 for i in interfaces)

    async def close(self) -> None:
        await self._tokens.close()

    # ---- faces in pictures

    async def detect(self, jpeg: bytes, *, max_faces: int = 1, within: float) -> tuple[DetectedFace, ...]:
        """Faces with their quality, largest first. No face: CloudRefused 222202."""
        fields = {**_image(jpeg), "face_field": "quality", "max_face_num": max_faces}
        return (await self._ask(Interface.DETECT, fields, Detected, within)).face_list

    async def search(
        self, jpeg: bytes, group: str, *, threshold: float, users: int = 1, within: float
    ) -> tuple[Match, ...]:
        """At most `users` users whose score reaches `threshold`, best first; none is an answer too."""
        fields = {
            **_image(jpeg),
            **self._controls(),
            "group_id_list": group,
            "max_user_num": users,
            "match_threshold": threshold,
        }
        try:
            return (await self._ask(Interface.SEARCH, fields, Found, within)).user_list
        except CloudRefused as error:
            if error.number == NO_MATCH:
                return ()
            raise

    # ---- the library

    async def add(self, jpeg: bytes, group: str, user: str, info: str, *, within: float) -> str:
        """One more face of a user, who is made if need be; its token."""
        fields = {**_image(jpeg), **self._controls(), "group_id": group, "user_id": user, "user_info": info}
        added = await self._ask(Interface.USER_ADD, {**fields, "action_type": "APPEND"}, Added, within)
        return added.face_token

    async def delete_face(self, group: str, user: str, token: str, *, within: float) -> None:
        """Refusals: 223106 no such face, 223103 no such user."""
        fields = {"group_id": group, "user_id": user, "face_token": token}
        await self._do(Interface.FACE_DELETE, fields, within)

    async def delete_user(self, group: str, user: str, *, within: float) -> None:
        """Refusals: 223103 no such user."""
        await self._do(Interface.USER_DELETE, {"group_id": group, "user_id": user}, within)

    async def faces(self, group: str, user: str, *, within: float) -> tuple[FaceItem, ...]:
        """A user's faces, oldest first; none for a user who is not there."""
        try:
            fields = {"group_id": group, "user_id": user}
            return (await self._ask(Interface.FACE_LIST, fields, Faces, within)).face_list
        except CloudRefused as error:
            if error.number == USER_MISSING:
                return ()
            raise

    async def user_info(self, group: str, user: str, *, within: float) -> str:
        """What was written beside the user. Refusals: 223103."""
        found = await self._ask(Interface.USER_GET, {"group_id": group, "user_id": user}, UserInfo, within)
        return next((entry.user_info for entry in found.user_list), "")

    async def users(self, group: str, start: int, *, within: float) -> tuple[str, ...]:
        """At most PAGE user ids from number `start` on."""
        fields = {"group_id": group, "start": start, "length": PAGE}
        return (await self._ask(Interface.GROUP_USERS, fields, Users, within)).user_id_list

    async def groups(self, start: int, *, within: float) -> tuple[str, ...]:
        """At most PAGE group ids from number `start` on."""
        return (await self._ask(Interface.GROUP_LIST, {"start": start, "length": PAGE}, Groups, within)).group_id_list

    async def add_group(self, group: str, *, within: float) -> None:
        """Refusals: 223101 it is there already."""
        await self._do(Interface.GROUP_ADD, {"group_id": group}, within)

    # ---- one call

    def _controls(self) -> dict[str, str]:
        return {"quality_control": self._settings.quality, "liveness_control": self._settings.liveness}

    async def _ask(self, what: Interface, fields: Mapping[str, Any], reply: type[R], within: float) -> R:
        result = await self._do(what, fields, within)
        try:
            return reply.model_validate(result)
        except ValidationError:
            raise CloudAway(en=f"the cloud's answer to {what} is not what the contract says") from None

    async def _do(self, what: Interface, fields: Mapping[str, Any], within: float) -> Any:
        """The result of one call, after waiting for a free moment and for refusals 18."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + within
        try:
            async with asyncio.timeout_at(ends):
                for attempt in range(TRIES):
                    await self._turn(what, ends - loop.time())
                    envelope = await self._with_token(what, fields)
                    if envelope.error_code not in TOO_FAST:
                        return _result(envelope)
                    await asyncio.sleep(backoff_s(attempt, first=0.5, longest=4.0))
                raise CloudAway(en="the cloud is too busy", number=18)
        except TimeoutError:
            raise CloudAway(en=f"the cloud did not answer {what} within {within:.1f} s") from None

    async def _turn(self, what: Interface, longest_s: float) -> None:
        if not self._breaker.admits():
            raise CloudAway(en=AT_REST)
        wait = self._buckets[what].take(longest_s)
        if wait is None:
            raise CloudAway(en=f"no call to {what} is free in time", number=18)
        await asyncio.sleep(wait)

    async def _with_token(self, what: Interface, fields: Mapping[str, Any]) -> Envelope:
        """A token that the cloud knows no longer (it restarted, or somebody renewed it) is renewed once."""
        if not self._breaker.enter():
            raise CloudAway(en=AT_REST)
        try:
            token = await self._tokens.get()
            envelope = await self._post(what, fields, token)
            if envelope.error_code in (TOKEN_INVALID, TOKEN_EXPIRED):
                envelope = await self._post(what, fields, await self._tokens.renew(token))
        except CloudAway as error:
            log.warning("cloud away", interface=what.value, reason=error.en)
            self._breaker.failed()
            raise
        except asyncio.CancelledError:  # out of time: too slow is as bad as away; a caller who left is not told apart
            self._breaker.failed()
            raise
        except BaseException:
            self._breaker.left()
            raise
        self._breaker.succeeded()
        return envelope

    async def _post(self, what: Interface, fields: Mapping[str, Any], token: str) -> Envelope:
        path = f"/rest/2.0/face/v3/{what}"
        body = await _exchange(self._http, "POST", path, self._settings.call_s, {"access_token": token}, json=fields)
        return _read(Envelope, body)


class _Tokens:
    """The access token: fetched by the first who needs it while the others wait, kept until half its life is over."""

    def __init__(self, settings: CloudSettings, http: httpx.AsyncClient, clock: Clock) -> None:
        self._settings, self._http, self._clock = settings, http, clock
        self._token = ""
        self._good_until = 0.0
        self._fetching: asyncio.Task[str] | None = None

    async def get(self) -> str:
        """Raises CloudAway."""
        return self._token if self._token and self._clock() < self._good_until else await self._fresh()

    async def renew(self, refused: str) -> str:
        """Another token than the `refused` one; who comes second gets what the first has fetched."""
        return self._token if self._token != refused and self._fetching is None else await self._fresh()

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            with contextlib.suppress(asyncio.CancelledError, CloudAway):
                await self._fetching

    async def _fresh(self) -> str:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)  # the fetch is for all: one who leaves does not end it

    def _fetched(self, task: asyncio.Task[str]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody did, nobody misses it

    async def _fetch(self) -> str:
        # As a form, not in the query as Baidu's examples have it: queries end up in the logs of proxies.
        keys = {
            "grant_type": "client_credentials",
            "client_id": self._settings.api_key.get_secret_value(),
            "client_secret": self._settings.secret_key.get_secret_value(),
        }
        body = await _exchange(self._http, "POST", "/oauth/2.0/token", self._settings.call_s, {}, data=keys)
        if b'"error"' in body and b'"access_token"' not in body:
            raise CloudAway("云端密钥无效，请联系管理员", "the cloud does not take these keys", number=KEYS_REFUSED)
        fetched = _read(Token, body)
        self._token = fetched.access_token.get_secret_value()
        self._good_until = self._clock() + max(fetched.expires_in / 2, LEAST_TOKEN_S)
        return self._token


async def _exchange(
    http: httpx.AsyncClient, method: str, path: str, seconds: float, query: Mapping[str, str], **body: Any
) -> bytes:
    """The body of an answer, whatever its status below 500 (errors come with 200, of the token service with 401).

    Raises CloudAway, which names the kind of trouble and never an address with a token in it.
    """
    try:
        async with asyncio.timeout(seconds), http.stream(method, path, params=query, **body) as answer:
            if answer.status_code >= 500:
                raise CloudAway(en=f"the cloud answers HTTP {answer.status_code}")
            return await _bounded(answer)
    except (TimeoutError, httpx.TimeoutException):
        raise CloudAway(en=f"the cloud did not answer within {seconds:.1f} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise CloudAway(en=f"the cloud cannot be reached: {type(error).__name__}") from None


async def _bounded(answer: httpx.Response) -> bytes:
    read = bytearray()
    async for chunk in answer.aiter_bytes():
        read += chunk
        if len(read) > MAX_REPLY:
            raise CloudAway(en="the cloud's answer is far too long")
    return bytes(read)


def _read(kind: type[R], body: bytes) -> R:
    try:
        return kind.model_validate_json(body)
    except ValidationError:
        raise CloudAway(en="the cloud's answer cannot be read") from None


def _result(envelope: Envelope) -> Any:
    if envelope.error_code:
        raise refusal(envelope.error_code, envelope.error_msg)
    return envelope.result


def _image(jpeg: bytes) -> dict[str, str]:
    return {"image": base64.b64encode(jpeg).decode(), "image_type": "BASE64"}


@asynccontextmanager
async def open_cloud(settings: CloudSettings) -> AsyncIterator[Cloud]:
    """A client while inside; connects when first used."""
    for library in ("httpx", "httpcore"):  # they log addresses with the token in them at INFO and DEBUG
        logging.getLogger(library).setLevel(logging.WARNING)
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=8)
    async with httpx.AsyncClient(base_url=settings.url, limits=limits, timeout=settings.call_s) as http:
        cloud = Cloud(settings, http)
        try:
            yield cloud
        finally:
            await cloud.close()
