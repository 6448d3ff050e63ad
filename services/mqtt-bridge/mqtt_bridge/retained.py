"""Retained messages: what the broker should keep, what it keeps, and the way from one to the other."""

import asyncio

from aiomqtt import Client

BATCH = 16
"""messages on their way at once"""


class Retained:
    """`want` says what should be there. At each connection the broker's own copy is read back first, so only what
    differs is written, and what a removed terminal left behind is cleared, even if it went while nobody looked."""

    def __init__(self) -> None:
        self._wanted: dict[str, bytes] = {}
        self._there: dict[str, int] = {}
        """hashes: with 65,536 terminals the texts need not be held twice"""
        self._dirty: dict[str, None] = {}
        self._work = asyncio.Event()

    def want(self, topic: str, payload: bytes | None) -> None:
        """Let this be there; None: nothing."""
        if payload is None:
            self._wanted.pop(topic, None)
        else:
            self._wanted[topic] = payload
        self._dirty[topic] = None
        self._work.set()

    def begin(self) -> None:
        """A new connection: nothing is known of what is there."""
        self._there.clear()

    def found(self, topic: str, payload: bytes) -> None:
        """The broker has this."""
        self._there[topic] = hash(payload)

    async def keep(self, client: Client) -> None:
        """Write what differs, for ever. Raises MqttError."""
        self._dirty = dict.fromkeys([*self._wanted, *self._there])
        while True:
            while self._dirty:
                some = list(self._dirty)[:BATCH]
                await asyncio.gather(*(self._write(client, topic) for topic in some))
            self._work.clear()
            await self._work.wait()

    async def _write(self, client: Client, topic: str) -> None:
        """A topic that is wanted otherwise while it is being written is dirty again, and written again."""
        del self._dirty[topic]
        payload = self._wanted.get(topic, b"")
        if self._there.get(topic, hash(b"")) == hash(payload):
            return
        await client.publish(topic, payload, qos=1, retain=True)
        self._there[topic] = hash(payload)
