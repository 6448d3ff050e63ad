"""What Home Assistant is told of each terminal: its connection, its last punch, and a button for its door.

The format is Home Assistant's MQTT discovery: one retained JSON configuration for each entity.
"""

from typing import Any

from mqtt_bridge import topics
from mqtt_bridge.payloads import dumped
from shared.contracts.devices import Device


def config_topics(device_id: int, prefix: str) -> tuple[str, str, str]:
    """Where a terminal's connection, last punch and door are announced."""
    entities = ("binary_sensor", "connection"), ("sensor", "punch"), ("button", "door")
    connection, last_punch, button = (
        f"{prefix}/{component}/rollcall_{device_id}/{name}/config" for component, name in entities
    )
    return connection, last_punch, button


def entities(device: Device, client: str, *, commands: bool) -> tuple[bytes, bytes, bytes | None]:
    """The configurations, in the order of `config_topics`; None: what must not be there. `client` is Home Assistant's
    own name."""
    number = device.device_id

    def entity(which: str, **fields: Any) -> bytes:
        return dumped({"unique_id": f"rollcall_{number}_{which}", **_common(device), **fields})

    connection = entity(
        "connection",
        device_class="connectivity",
        entity_category="diagnostic",
        state_topic=topics.state(number),
        value_template="{{ 'ON' if value_json.state == 'online' else 'OFF' }}",
    )
    last_punch = entity(
        "punch",
        name="最近打卡 Last punch",
        icon="mdi:account-clock",
        device_class="timestamp",
        state_topic=topics.punch(number),
        value_template="{{ value_json.time }}",
        json_attributes_topic=topics.punch(number),
    )
    button = entity(
        "door",
        name="开门 Open door",
        icon="mdi:door-open",
        command_topic=topics.door(number, client),
        payload_press="{}",
    )
    return connection, last_punch, button if commands else None


def _common(device: Device) -> dict[str, Any]:
    return {
        "qos": 1,
        "availability_topic": topics.STATUS,
        "availability_template": "{{ value_json.status }}",
        "device": {
            "identifiers": [f"rollcall_{device.device_id}"],
            "name": device.name,
            "manufacturer": "Rollcall",
            "serial_number": device.sn,
            "suggested_area": device.punches_at,
        },
    }
