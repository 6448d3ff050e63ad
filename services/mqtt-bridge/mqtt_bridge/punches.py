"""Punches out: from the durable stream to MQTT, each acknowledged only when the broker has it for its MQTT readers."""

import asyncio
import contextlib

import structlog
from aiomqtt import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from mqtt_bridge import payloads, topics
from shared.bus import Bus
from shared.bus.topology import EVENTS, MQTT_CONSUMER
from shared.contracts.attendance import AttendanceRecorded
from shared.contracts.base import ContractError

BATCH = 8
FETCH_S = 1.0
AFTER_ERROR_S = 0.2

log = structlog.get_logger("punches")


async def tell(bus: Bus, client: Client, *, names: bool) -> None:
    """Publish every punch that was recorded, in order, at least once, for ever. Raises MqttError; what was not
    published by then comes again."""
    pull = await bus.js.pull_subscribe_bind(MQTT_CONSUMER, stream=EVENTS)
    try:
        while True:
            try:
                some = await pull.fetch(BATCH, timeout=FETCH_S)
            except TimeoutError:  # nats-py raises its own kind and the plain one
                continue
            except NatsError as error:
                log.warning("no punches", reason=repr(error))
                await asyncio.sleep(AFTER_ERROR_S)
                continue
            await asyncio.gather(*(_tell(client, message, names) for message in some))
    finally:
        with contextlib.suppress(NatsError):
            await pull.unsubscribe()


async def _tell(client: Client, message: Msg, names: bool) -> None:
    try:
        event = AttendanceRecorded.decode(message.data)
    except ContractError as error:
        log.warning("event refused", reason=str(error))
        await message.term()
        return
    payload = payloads.punch(event, names=names)
    where = [topics.PUNCHES]
    if (device_id := payloads.device_of(event.source)) is not None:
        where.append(topics.punch(device_id))
    await asyncio.gather(*(client.publish(topic, payload, qos=1) for topic in where))
    with contextlib.suppress(NatsError):  # it comes again, under the same event id
        await message.ack()
