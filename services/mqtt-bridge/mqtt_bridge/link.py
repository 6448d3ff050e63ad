"""The bridge's MQTT connection: kept, made again, and what is done while it stands."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import structlog
from aiomqtt import Client, Message, MqttError, Will

from mqtt_bridge import payloads, punches, topics
from mqtt_bridge.commands import CommandDesk
from mqtt_bridge.retained import Retained
from mqtt_bridge.settings import BridgeSettings
from mqtt_bridge.terminals import Terminals
from shared.bus import Bus
from shared.contracts.base import new_id
from shared.errors import Unavailable
from shared.runtime import background

RETRY_S = 0.5
ANSWER_S = 10.0
KEEPALIVE_S = 10
MOST_WAITING = 300_000
"""messages that came and were not looked at yet: four retained ones of each of 65,536 terminals, read back at once"""
MOST_COMMANDS = 1_000
"""commands that wait to be looked at; more are dropped"""
PENDING = 128
"""publishes on their way: two batches and the answers to commands"""
READ_BACK_S = 30.0

log = structlog.get_logger("mqtt")


class Link:
    """One connection at a time. Commands are taken with QoS 0 in a clean session: what is sent while the bridge is
    away is never done later."""

    def __init__(
        self, settings: BridgeSettings, bus: Bus, terminals: Terminals, retained: Retained, desk: CommandDesk
    ) -> None:
        self._settings, self._bus = settings, bus
        self._terminals, self._retained, self._desk = terminals, retained, desk
        self._up = False

    async def ready(self) -> None:
        """The health check."""
        if not self._up:
            raise Unavailable(en="no connection to the MQTT listener")

    async def keep(self) -> None:
        """Connect, work, and begin again when the connection is lost, for ever."""
        while True:
            try:
                async with self._client() as client:
                    await self._work(client)
            except* MqttError as lost:
                log.warning("mqtt is away", reason=repr(lost.exceptions[0]))
            finally:
                self._up = False
            await asyncio.sleep(RETRY_S)

    def _client(self) -> Client:
        settings = self._settings
        client = Client(
            settings.mqtt_host,
            settings.mqtt_port,
            username=topics.BRIDGE,
            password=settings.mqtt_password.get_secret_value(),
            identifier=topics.BRIDGE,
            will=Will(topics.STATUS, payloads.status(online=False), 1, True),
            timeout=ANSWER_S,
            keepalive=KEEPALIVE_S,
            max_queued_incoming_messages=MOST_WAITING,
            tls_context=_trust(settings.mqtt_ca) if settings.mqtt_ca else None,
        )
        client.pending_calls_threshold = PENDING
        return client

    async def _work(self, client: Client) -> None:
        await self._terminals.read()
        await self._read_back(client)
        await client.subscribe(topics.ALL_COMMANDS, 0)
        try:
            await client.publish(topics.STATUS, payloads.status(online=True), qos=1, retain=True)
            self._up = True
            log.info("mqtt is there")
            telling = punches.tell(self._bus, client, names=self._settings.mqtt_names)
            async with background(self._retained.keep(client), telling):
                await self._take_commands(client)
        finally:
            with contextlib.suppress(MqttError):  # a clean good-bye sends no last will
                await client.publish(topics.STATUS, payloads.status(online=False), qos=1, retain=True, timeout=1)

    async def _read_back(self, client: Client) -> None:
        """Learn what is retained. The broker sends it before whatever is published after the subscription."""
        self._retained.begin()
        own = (topics.ALL_STATES, topics.discovery(self._settings.mqtt_discovery))
        await client.subscribe([(topic, 0) for topic in (topics.ECHO, *own)])
        mark = new_id().encode()
        await client.publish(topics.ECHO, mark)
        try:
            async with asyncio.timeout(READ_BACK_S):
                async for message in client.messages:
                    if _body(message) == mark:
                        break
                    if message.retain:
                        self._retained.found(str(message.topic), _body(message))
        except TimeoutError:
            raise MqttError("what is retained was not read") from None
        await client.unsubscribe([topics.ECHO, *own])

    async def _take_commands(self, client: Client) -> None:
        async with asyncio.TaskGroup() as working:
            async for message in client.messages:
                if len(client.messages) < MOST_COMMANDS:
                    await self._take(client, message, working)

    async def _take(self, client: Client, message: Message, working: asyncio.TaskGroup) -> None:
        topic = str(message.topic)
        asked = topics.command(topic)
        if message.retain:
            # A retained command would be done again at every connection: it is an old one, and is cleared.
            log.warning("a retained command is not done", topic=topic)
            await client.publish(topic, b"", qos=1, retain=True)
        elif asked is None:
            log.warning("not a command", topic=topic[:128])
        elif _body(message) and (refused := self._desk.refusal(asked.client)) is not None:
            await client.publish(asked.result, payloads.result("", refused))
        elif _body(message):  # an empty one clears what was retained
            working.create_task(self._carry_out(client, asked, _body(message)))

    async def _carry_out(self, client: Client, asked: topics.Asked, payload: bytes) -> None:
        answer = await self._desk.carry_out(asked, payload)
        with contextlib.suppress(MqttError):  # the connection is lost, and who asked sees that nothing came
            await client.publish(asked.result, answer, qos=1)


def _body(message: Message) -> bytes:
    return message.payload if isinstance(message.payload, bytes) else b""


def _trust(certificate: Path) -> ssl.SSLContext:
    """Only who shows this certificate, or one that it signed; its name is not looked at: we dial an address."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
