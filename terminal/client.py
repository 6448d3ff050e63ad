"""A terminal's side of both channels: gets tokens, keeps the connections, sends frames when asked, tells what it hears.

With a reserve it recognises by itself where the office wants that, and while no server does.

    POST /faces/api/token                          → a token, a fresh one for each connection
    GET  hub:8001/terminal                         → a challenge: with a secret, the hub needs no token
    WS   hub:8001/terminal    Authorization        hello, ping, ack …  ← welcome, command, config, result, punch, bye
    WS   gateway:8000/stream  hello {token}        one JPEG after each {"type":"next"}  ← result, punch

The protocol is in docs/terminals.md.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import datetime
from functools import partial
from random import Random
from typing import Any

import httpx
from websockets.exceptions import InvalidStatus

from terminal.admission import ANSWER_S, Identity, Server, fetch_token, prove, proved_at
from terminal.backoff import FIRST_S, HUB_FIRST_S, Backoff
from terminal.events import Channel, Command, Configured, Ended, Event, Offline, Online, Punch, Recognising, Trouble
from terminal.orders import Obey, Orders, ServerClock, Snapshot, cannot_obey
from terminal.punches import StoreFull
from terminal.reserve import MODE, REFUSED, STORAGE, Camera, Eye, FaceKeeper, Reserve, Teller
from terminal.roster import update
from terminal.talks import TROUBLE, HubTalk, StreamTalk

GRACE_S = 2.0
"""how long a terminal waits for the server before it recognises by itself, where the server should"""
OFFLINE = "offline"
"""the configured mode in which the terminal recognises"""


class Terminal:
    """Both channels of one terminal, kept open while `run` runs; without a camera, only the hub's. `obey` does what the
    office orders."""

    def __init__(
        self,
        identity: Identity,
        server: Server,
        hear: Callable[[Event], None],
        *,
        camera: Camera | None = None,
        obey: Obey = cannot_obey,
        dice: Random | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        self._identity, self._server, self._tell, self._camera = identity, server, hear, camera
        self._obey, self._orders, self._clock = obey, Orders(self._do), ServerClock()
        self._keeper: FaceKeeper | None = None
        self._dice = dice or Random()  # noqa: S311 - jitter, no secret
        self._reserve = reserve
        self._teller = Teller(reserve.punches, self.hear, now=self._told) if reserve else None
        self._noted = {name: reserve.punches.noted(name) for name in (MODE, REFUSED)} if reserve else {}
        self._mode, self._refused = self._noted.get(MODE, ""), bool(self._noted.get(REFUSED))
        self._streams, self._here, self._switched = False, False, asyncio.Event()

    def now(self) -> datetime:
        """What the server's clock says; ours, until it told."""
        return self._clock.now(time.monotonic())

    def _told(self) -> datetime | None:
        return self.now() if self._clock.is_told else None

    async def run(self) -> None:
        """Until cancelled: connect, serve, and connect again."""
        async with self._http() as http, asyncio.TaskGroup() as group:
            keeper = self._keeper = self._new_keeper(http, self._reserve) if self._reserve else None
            hub = HubTalk(self.hear, self._orders, self._clock, self._teller, keeper)
            group.create_task(self._keep(Channel.HUB, partial(self._to_hub, http, hub), HUB_FIRST_S))
            if keeper is not None:
                group.create_task(keeper.run())
            if self._camera is not None:
                group.create_task(self._recognise(http, self._camera))

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=ANSWER_S, verify=self._server.trust, trust_env=False)

    def hear(self, event: Event) -> None:
        """Take note of what decides who recognises and what is to be told; pass it on."""
        match event:
            case Configured(config=config):
                self._mode = str(config.get("mode", ""))
                self._note(MODE, self._mode)
                self._switched.set()
            case Online(channel=Channel.STREAM) | Offline(channel=Channel.STREAM):
                self._streams = isinstance(event, Online)
                self._switched.set()
            case Punch(channel=Channel.HERE):
                self.look()
        self._tell(event)

    def look(self) -> None:
        """Another part of the program has put a punch into the reserve: the hub is told of it now, if there is one."""
        if self._teller is not None:
            self._teller.look()

    def _note(self, name: str, value: str) -> None:
        """For a start without a server. What cannot be noted now is tried again when the server tells it again."""
        if self._reserve is None or self._noted[name] == value:
            return
        try:
            self._reserve.punches.note(name, value)
            self._noted[name] = value
        except StoreFull as error:
            self._tell(Trouble(STORAGE, str(error)))

    def _let_in(self, yes: bool) -> None:
        """Whom the office suspended or removed does not go on by itself either, with or without a network, until the
        server has let it in again."""
        self._refused = not yes
        self._note(REFUSED, "" if yes else "refused")
        self._switched.set()

    async def _do(self, command: Command) -> str | Snapshot:
        """What the office orders: the faces are ours, the rest is the door's. Raises CannotDo."""
        if command.action == "update_faces" and self._keeper is not None:
            return await self._keeper.update_now()
        return await self._obey(command)

    def _new_keeper(self, http: httpx.AsyncClient, reserve: Reserve) -> FaceKeeper:
        async def fetch() -> bool:
            return await update(http, self._server.api, self._token(http), reserve.library)

        def changed() -> None:
            if reserve.punches.try_again():
                self.look()

        return FaceKeeper(fetch, changed, self.hear, self._dice)

    def _token(self, http: httpx.AsyncClient) -> Callable[[], Awaitable[str]]:
        return lambda: fetch_token(http, self._server, self._identity)

    # ---- who recognises

    async def _recognise(self, http: httpx.AsyncClient, camera: Camera) -> None:
        """The server, or this terminal; never both."""
        jobs: dict[str, asyncio.Task[None]] = {}
        try:
            while True:
                self._switched.clear()
                await _settle(jobs, self._wishes(http, camera))
                switched = asyncio.create_task(self._switched.wait())
                try:
                    done, _ = await asyncio.wait({switched, *jobs.values()}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    switched.cancel()
                for job in done - {switched}:
                    job.result()
        finally:
            await _settle(jobs, {})

    def _wishes(self, http: httpx.AsyncClient, camera: Camera) -> "dict[str, Job]":
        """The jobs that should be done now."""
        wishes: dict[str, Job] = {}
        eye = self._reserve.eye if self._reserve else None
        alone = eye is not None and self._mode == OFFLINE
        if alone:
            self._streams = False
        else:
            stream = partial(self._to_gateway, http, StreamTalk(self.hear, camera))
            wishes["stream"] = lambda: self._keep(Channel.STREAM, stream)
        if eye is not None and not self._streams and not self._refused:
            wishes["eye"] = lambda: self._alone(eye, camera, 0.0 if alone else GRACE_S)
        elif self._here:
            self._here = False
            self._tell(Recognising(here=False))
        return wishes

    async def _alone(self, eye: Eye, camera: Camera, grace_s: float) -> None:
        await asyncio.sleep(grace_s)
        self._here = True
        self._tell(Recognising(here=True))
        await eye.run(camera, self.hear, self.now)

    async def _to_hub(self, http: httpx.AsyncClient, talk: HubTalk, stands: Callable[[], None]) -> None:
        """With the secret alone, if there is one, and unasked where the server's time is known. Whom the hub refuses
        asks for a token: that announces it to the office, and says why."""
        async for authorization in self._proofs(http):
            try:
                return await talk.run(self._server, authorization, stands)
            except InvalidStatus as refused:
                if refused.response.status_code != httpx.codes.UNAUTHORIZED:
                    raise
        token = await fetch_token(http, self._server, self._identity)
        return await talk.run(self._server, f"Bearer {token}", stands)

    async def _proofs(self, http: httpx.AsyncClient) -> AsyncIterator[str]:
        if self._identity.secret:
            if self._clock.is_told:
                yield proved_at(self._identity, self.now())
            yield await prove(http, self._server, self._identity)

    async def _to_gateway(self, http: httpx.AsyncClient, talk: StreamTalk, stands: Callable[[], None]) -> None:
        await talk.run(self._server, await fetch_token(http, self._server, self._identity), stands)

    async def _keep(self, channel: Channel, talk: "Talk", first_s: float = FIRST_S) -> None:
        backoff = Backoff(self._dice, first_s)

        def stands() -> None:
            backoff.worked()
            self._let_in(True)
            self.hear(Online(channel))

        while True:
            try:
                await talk(stands)
                reason, wait = "closed", backoff.again()
            except TROUBLE as error:
                reason = str(error) or type(error).__name__
                by_person = isinstance(error, Ended) and error.by_person
                if isinstance(error, Ended) and error.is_refusal:
                    self._let_in(False)
                wait = backoff.patient() if by_person else backoff.again()
            self.hear(Offline(channel, reason, wait))
            await asyncio.sleep(wait)


Job = Callable[[], Coroutine[Any, Any, None]]


async def _settle(jobs: dict[str, asyncio.Task[None]], wishes: dict[str, Job]) -> None:
    """End the jobs that nobody wishes any more, begin those that are new."""
    ended = [jobs.pop(name) for name in jobs.keys() - wishes.keys()]
    for job in ended:
        job.cancel()
    await asyncio.gather(*ended, return_exceptions=True)
    for name in wishes.keys() - jobs.keys():
        jobs[name] = asyncio.create_task(wishes[name]())


Talk = Callable[[Callable[[], None]], Awaitable[None]]
"""One conversation; calls its argument when it stands, and returns or raises one of TROUBLE when it is over."""
