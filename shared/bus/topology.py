"""Streams, consumers and key-value buckets, and what each service may touch.

Settings and their reasons were measured: see docs/adr/0002-turns.md and 0003-durable-events.md. Memory streams
vanish with the broker, so `ensure` runs at the start and after every reconnect, in every service that needs one.
"""

import asyncio
from dataclasses import dataclass

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    DiscardPolicy,
    KeyValueConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import BadRequestError, NotFoundError

from shared.contracts.attendance import ATTENDANCE_EVENTS, AttendanceRecorded
from shared.contracts.devices import DeviceChanged, GetDevice, ListDevices
from shared.contracts.gallery import FaceChanged, LibraryChanges
from shared.contracts.hubs import TerminalsCame
from shared.contracts.library import KeyRevoked
from shared.contracts.moving import CopyUsers, GetFaceCopy, NameFace
from shared.contracts.people import StudentChanged
from shared.contracts.recognition import AtWork, GetModel, Identified, MeasureAgain, RecognizerAlive, Turn

MIB = 2**20
TURNS = "TURN"
EVENTS = "EVT"
RECOGNIZER_CONSUMER = "recognizer"
LEDGER_CONSUMER = "ledger"
CLOUD_CONSUMER = "cloud"
MQTT_CONSUMER = "mqtt"
PRESENCE = "presence"
HUBS = "hubs"
SPENT = "spent"
"""Terminals' tokens that were used up, each until its time is over."""

TURN_WAIT_S = 2.0
"""A recognizer that has not acknowledged its turn for this long is taken for dead, in seconds."""
LEDGER_WAIT_S = 4.0
"""An identified face that the ledger has not acknowledged for this long is handed out again, in seconds."""
TURN_AGE_S = 5.0
"""A turn that nobody took for this long is dropped by the broker, in seconds."""
LEASE_S = 6.0
"""How long a hub is believed alive after its last renewal, in seconds."""
TOKEN_LIFE_S = 3_600
"""The longest that a terminal's token may be good for, in seconds: how long a used one is remembered."""


def streams() -> dict[str, StreamConfig]:
    """The streams by name. TURN refuses a second turn of a source while one waits or is in work."""
    return {
        TURNS: StreamConfig(
            name=TURNS,
            subjects=[Turn.subjects],
            storage=StorageType.MEMORY,
            retention=RetentionPolicy.WORK_QUEUE,
            max_msgs_per_subject=1,
            discard=DiscardPolicy.NEW,
            discard_new_per_subject=True,
            max_age=TURN_AGE_S,
            max_bytes=64 * MIB,
            duplicate_window=1,
        ),
        EVENTS: StreamConfig(
            name=EVENTS,
            subjects=["evt.>"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.LIMITS,
            discard=DiscardPolicy.OLD,
            max_age=30 * 86_400,
            max_bytes=2048 * MIB,
            max_msg_size=65_536,
            duplicate_window=600,
            allow_direct=True,
        ),
    }


def consumers() -> dict[str, tuple[str, ConsumerConfig]]:
    """Durable pull consumers by name, with their stream. Nothing is ever given up: max_deliver -1."""
    return {
        RECOGNIZER_CONSUMER: (
            TURNS,
            ConsumerConfig(
                durable_name=RECOGNIZER_CONSUMER,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=TURN_WAIT_S,
                max_deliver=-1,
                max_ack_pending=2_000,
                max_waiting=2_048,
                mem_storage=True,
            ),
        ),
        LEDGER_CONSUMER: (
            EVENTS,
            ConsumerConfig(
                durable_name=LEDGER_CONSUMER,
                filter_subject=Identified.subject,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=LEDGER_WAIT_S,
                max_deliver=-1,
                max_ack_pending=64,
            ),
        ),
        CLOUD_CONSUMER: (
            EVENTS,
            ConsumerConfig(
                durable_name=CLOUD_CONSUMER,
                filter_subject=StudentChanged.subject,
                deliver_policy=DeliverPolicy.NEW,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=60,
                max_deliver=-1,
                max_ack_pending=64,
            ),
        ),
        MQTT_CONSUMER: (
            EVENTS,
            ConsumerConfig(
                durable_name=MQTT_CONSUMER,
                filter_subject=AttendanceRecorded.subject,
                deliver_policy=DeliverPolicy.NEW,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=12,  # the bridge gives up on MQTT after 10
                max_deliver=-1,
                max_ack_pending=64,
            ),
        ),
    }


def buckets() -> dict[str, KeyValueConfig]:
    """Key-value buckets by name; all in memory. Presence and hubs are rebuilt by those who write them; what was spent
    is forgotten with the broker's memory, and until TOKEN_LIFE_S later a token of before could be used once more."""

    def bucket(name: str, ttl: float | None, max_bytes: int) -> KeyValueConfig:
        return KeyValueConfig(
            bucket=name, storage=StorageType.MEMORY, history=1, ttl=ttl, max_bytes=max_bytes, direct=True
        )

    return {
        PRESENCE: bucket(PRESENCE, None, 64 * MIB),
        HUBS: bucket(HUBS, LEASE_S, MIB),
        # 117 bytes an entry as the broker counts, 0.8 KB of its memory (nats-server 2.15, 20,000 entries): half a
        # million tokens at a time, 600 a second that are good for 15 minutes, 0.45 GB at the worst.
        SPENT: bucket(SPENT, TOKEN_LIFE_S, 64 * MIB),
    }


@dataclass(frozen=True, slots=True)
class Needs:
    """What a service uses, by name; `ensure` makes what is missing."""

    streams: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()


NEEDS = {
    "gateway": Needs(streams=(TURNS, EVENTS), buckets=(PRESENCE,)),
    "recognizer": Needs(streams=(TURNS, EVENTS), consumers=(RECOGNIZER_CONSUMER, CLOUD_CONSUMER)),
    "registry": Needs(streams=(EVENTS,), consumers=(LEDGER_CONSUMER,)),
    "hub": Needs(streams=(EVENTS,), buckets=(PRESENCE, HUBS, SPENT)),
    "mqtt": Needs(streams=(EVENTS,), consumers=(MQTT_CONSUMER,)),
    "cli": Needs(),
}
"""By service; `hub` is the device-hub (a NATS user and a subject token), `mqtt` the bridge to third parties, `cli` the
command line's user."""


async def ensure(js: JetStreamContext, needs: Needs, replicas: int = 1) -> None:
    """Create what is missing, on so many nodes of the broker's cluster. Idempotent; a stream of another version's
    settings is brought up to date."""
    for name in needs.streams:
        config = streams()[name].evolve(num_replicas=replicas)
        try:
            await js.add_stream(config)
        except BadRequestError:
            await js.update_stream(config)
    for name in needs.consumers:
        stream, consumer = consumers()[name]
        await js.add_consumer(stream, consumer)
    for name in needs.buckets:
        try:
            found = (await js.stream_info(f"KV_{name}")).config
        except NotFoundError:
            await js.create_key_value(buckets()[name].evolve(replicas=replicas))
        else:  # made by who knew of one broker only, while an installation changes to three
            if (found.num_replicas or 1) < replicas:
                await js.update_stream(found.evolve(num_replicas=replicas))


async def standing(js: JetStreamContext, needs: Needs) -> dict[str, ConsumerInfo]:
    """The consumers by name, if all that is needed stands; raises what nats-py does if not, NotFoundError mostly."""
    names = [*needs.streams, *(f"KV_{name}" for name in needs.buckets)]
    await asyncio.gather(*(js.stream_info(name) for name in names))
    found = await asyncio.gather(*(js.consumer_info(consumers()[name][0], name) for name in needs.consumers))
    return dict(zip(needs.consumers, found, strict=True))


@dataclass(frozen=True, slots=True)
class Rights:
    """The subjects a service's NATS user may publish to and subscribe to."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def _stream_rights(needs: Needs) -> list[str]:
    """JetStream API subjects to create and read what a service needs, and no other stream's."""
    names = [*needs.streams, *(f"KV_{name}" for name in needs.buckets)]
    subjects = [f"$JS.API.STREAM.{verb}.{name}" for name in names for verb in ("CREATE", "UPDATE", "INFO")]
    for name in needs.consumers:
        stream, _ = consumers()[name]
        subjects += [
            f"$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}",
            f"$JS.API.CONSUMER.INFO.{stream}.{name}",
            f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}",
            f"$JS.ACK.{stream}.{name}.>",
            f"$JS.ACK.*.*.{stream}.{name}.>",
        ]
    for name in needs.buckets:
        subjects += [
            f"$KV.{name}.>",
            f"$JS.API.DIRECT.GET.KV_{name}.>",
            f"$JS.API.STREAM.MSG.GET.KV_{name}",
            f"$JS.API.CONSUMER.CREATE.KV_{name}",
            f"$JS.API.CONSUMER.CREATE.KV_{name}.>",
            f"$JS.API.CONSUMER.DELETE.KV_{name}.>",
            f"$JS.API.CONSUMER.INFO.KV_{name}.>",
        ]
    return subjects


def _reading(*names: str) -> tuple[str, ...]:
    """To look up keys of these buckets, and no more."""
    return tuple(
        subject for name in names for subject in (f"$JS.API.STREAM.INFO.KV_{name}", f"$JS.API.DIRECT.GET.KV_{name}.>")
    )


def _watching(bucket: str) -> tuple[str, ...]:
    """To look up a bucket's keys and to be told of changes."""
    return (
        *_reading(bucket),
        f"$JS.API.CONSUMER.CREATE.KV_{bucket}",
        f"$JS.API.CONSUMER.CREATE.KV_{bucket}.>",
        f"$JS.API.CONSUMER.DELETE.KV_{bucket}.>",
        f"$JS.API.CONSUMER.INFO.KV_{bucket}.>",
        f"$JS.FC.KV_{bucket}.>",
    )


_OWN: dict[str, Rights] = {
    "gateway": Rights(
        publish=(
            "turn.*.*",
            "cmd.registry.>",
            "cmd.recognizer.*",
            "cmd.hub.>",
            "hub.*.push.*",
            "hub.*.command.*",
            "feed.>",
            *_reading(HUBS),
        ),
        subscribe=(
            "frame.get.*.*",
            "result.*.*",
            AtWork.subject,
            ATTENDANCE_EVENTS,
            KeyRevoked.subject,
            DeviceChanged.subject,
            "feed.>",
            RecognizerAlive.subject,
        ),
    ),
    "recognizer": Rights(
        publish=(
            "frame.get.*.*",
            "result.*.*",
            AtWork.subject,
            Identified.subject,
            LibraryChanges.subject,
            CopyUsers.subject,
            GetFaceCopy.subject,
            NameFace.subject,
            RecognizerAlive.subject,
        ),
        subscribe=("evt.face.>", "cmd.recognizer.*"),
    ),
    "registry": Rights(
        publish=("evt.attendance.*", "evt.face.*", "evt.student.*", "evt.device.*", "evt.key.*"),
        subscribe=("cmd.registry.*", "cmd.registry-hub.*", "cmd.registry-cli.*"),
    ),
    "hub": Rights(
        publish=("cmd.registry-hub.*", TerminalsCame.subject),
        subscribe=(
            "cmd.hub.*",
            TerminalsCame.subject,
            "hub.*.push.*",
            "hub.*.command.*",
            "evt.device.*",
            FaceChanged.subject,
            ATTENDANCE_EVENTS,
        ),
    ),
    "mqtt": Rights(
        publish=(
            ListDevices.subject,
            GetDevice.subject,
            "hub.*.command.*",
            *_watching(PRESENCE),
            *_reading(HUBS),
        ),
        subscribe=(DeviceChanged.subject,),
    ),
    "cli": Rights(
        publish=(
            "cmd.registry.*",
            "cmd.registry-cli.*",
            "cmd.hub.*",
            "hub.*.command.*",
            GetModel.subject,
            MeasureAgain.subject,
            *_reading(PRESENCE, HUBS),
        ),
        subscribe=(),
    ),
}


def rights(service: str) -> Rights:
    """Least privilege: the service's own conversations, the streams it needs, its private inbox."""
    own, needs = _OWN[service], NEEDS[service]
    return Rights(
        publish=(*own.publish, "$JS.API.INFO", *_stream_rights(needs)),
        subscribe=(*own.subscribe, f"{inbox_prefix(service)}.>"),
    )


def inbox_prefix(service: str) -> str:
    """Replies go where only this service's user may listen."""
    return f"_INBOX_{service}"
