"""Who calls: keys, access tokens, signatures, and how often (V3 §2.1, §2.2).

Keys are known by the registry. What it said of one is remembered for KNOWN_S at most, and forgotten at once when the
key is revoked.
"""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

import structlog
from pydantic import SecretStr
from starlette.requests import Request

from gateway.baidu_api import signatures
from gateway.baidu_api.refusals import refused
from gateway.baidu_api.tokens import AccessTokens, Owner
from gateway.origin import client_address
from gateway.throttle import Rate, Throttle, TooFast
from shared.bus import Bus
from shared.codes import FaceCode
from shared.contracts.base import now
from shared.contracts.library import App, CheckKey, CheckSignature, FindKey, KeyRevoked
from shared.errors import NotAllowed, NotFound

log = structlog.get_logger("callers")

KNOWN_S: Final = 30.0
REMEMBERED: Final = 1_000
"""keys, and apps with a limit"""
MAX_KEY: Final = 128
WRONG_KEYS: Final = Rate(burst=20, per_second=0.5)
"""What one address may try in vain: nobody guesses 32 characters, and nobody floods the registry."""
BEARER: Final = "Bearer "
BOTH_KEYS: Final = "bce-v3/"


class Callers:
    """Finds the app behind a request."""

    def __init__(self, bus: Bus, secret: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bus, self._clock = bus, clock
        self._tokens = AccessTokens(secret)
        self._salt = hashlib.sha256(f"rollcall known keys|{secret}".encode()).digest()
        self._known: OrderedDict[Hashable, tuple[App, float]] = OrderedDict()
        self._quotas = Quotas(clock)
        self._failures = Throttle(WRONG_KEYS, clock)

    async def forget(self, revoked: KeyRevoked, _: str = "") -> None:
        """The key holds no longer."""
        for key in [key for key, (app, _) in self._known.items() if app.key_id == revoked.key_id]:
            del self._known[key]

    async def issue(self, api_key: str, secret_key: str, address: str) -> str:
        """An access token. Raises NotAllowed (field api_key or secret_key), TooFast, Unavailable."""
        app = await self._by_keys(api_key, secret_key, address)
        return self._tokens.make(Owner(app.key_id, app.app_id), time.time())

    async def app_of(self, request: Request) -> App:
        """Raises 4, 14, 18, 100, 110, 111, Unavailable."""
        try:
            app = await self._identified(request)
        except TooFast:
            raise refused(FaceCode.REQUEST_LIMIT) from None
        self._quotas.take(app)
        return app

    async def _identified(self, request: Request) -> App:
        token, header = request.query_params.get("access_token", ""), request.headers.get("authorization", "")
        if not token and signatures.is_signed(header):
            return await self._by_signature(request, header)
        if not token and header.startswith(BEARER + BOTH_KEYS):
            return await self._by_both_keys(header.removeprefix(BEARER + BOTH_KEYS), client_address(request))
        return await self._by_token(token or header.removeprefix(BEARER).strip())

    async def _by_token(self, token: str) -> App:
        owner = self._tokens.read(token, time.time())
        app = self._remembered(owner.key_id)
        if app is None:
            try:
                app = await self._bus.ask(FindKey(key_id=owner.key_id))
            except NotFound:
                raise refused(FaceCode.TOKEN_INVALID) from None
            self._remember(owner.key_id, app)
        if app.app_id != owner.app_id:
            raise refused(FaceCode.TOKEN_INVALID)
        return app

    async def _by_both_keys(self, keys: str, address: str) -> App:
        api_key, _, secret_key = keys.partition("/")
        try:
            return await self._by_keys(api_key, secret_key, address)
        except NotAllowed:
            raise refused(FaceCode.SIGNATURE_WRONG) from None

    async def _by_keys(self, api_key: str, secret_key: str, address: str) -> App:
        if max(len(api_key), len(secret_key)) > MAX_KEY or not (api_key + secret_key).isascii():
            raise NotAllowed("没有这个 API Key", "unknown client id", field="api_key")
        shown = (api_key, hmac.new(self._salt, secret_key.encode(), hashlib.sha256).digest())
        if (app := self._remembered(shown)) is not None:
            return app
        self._failures.look(address)
        try:
            app = await self._bus.ask(CheckKey(api_key=api_key, secret_key=SecretStr(secret_key)))
        except NotAllowed:
            self._failures.take(address)
            raise
        self._remember(shown, app)
        return app

    async def _by_signature(self, request: Request, header: str) -> App:
        """The registry checks: only it has the secret."""
        headers = dict(request.headers)
        query = request.query_params.multi_items()
        signed = signatures.read(header, request.method, request.url.path, query, headers, now())
        address = client_address(request)
        self._failures.look(address)
        try:
            app = await self._bus.ask(
                CheckSignature(
                    api_key=signed.api_key,
                    prefix=signed.prefix,
                    canonical=signed.canonical,
                    signature=signed.signature,
                )
            )
        except NotAllowed:
            self._failures.take(address)
            raise refused(FaceCode.SIGNATURE_WRONG) from None
        if signed.content_md5 and not signed.covers(await request.body()):
            raise refused(FaceCode.SIGNATURE_WRONG)
        return app

    def _remembered(self, key: Hashable) -> App | None:
        app, since = self._known.get(key, (None, 0.0))
        return app if self._clock() - since < KNOWN_S else None

    def _remember(self, key: Hashable, app: App) -> None:
        self._known[key] = (app, self._clock())
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


class Quotas:
    """A token bucket for each app that has a limit: `qps` a second, and bursts of one second's worth. Per gateway."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()

    def take(self, app: App) -> None:
        """Raises 18."""
        if app.qps <= 0:
            return
        now, room = self._clock(), max(1.0, app.qps)
        left, since = self._buckets.pop(app.app_id, (room, now))
        left = min(room, left + (now - since) * app.qps)
        self._buckets[app.app_id] = (left - 1 if left >= 1 else left, now)
        while len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if left < 1:
            raise refused(FaceCode.QPS_LIMIT)
