"""The terminal channel: golden frames, the order of things, and every kind of rubbish."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from device_hub.protocol import (
    FRAMES_PER_S,
    MAX_FRAME,
    Ack,
    Bye,
    Close,
    Config,
    ConfigTaken,
    Conversation,
    ErrorFrame,
    Farewell,
    Hello,
    Incoming,
    Ping,
    Pong,
    Reason,
    State,
    Unknown,
    Violation,
    Welcome,
    command_text,
    parse,
)
from shared.contracts.devices import DeviceConfig
from shared.contracts.terminals import MAX_SNAPSHOT, OpenDoor, Order, OrderOutcome, Restart, ShowMessage, TakeSnapshot

GOLDEN = json.loads(Path(__file__).with_name("golden_frames.json").read_text("utf-8"))
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)
HELLO = '{"type":"hello","versions":[1]}'
PING = '{"type":"ping"}'
ACK = '{"type":"ack","id":"6f1c","ok":true}'
CONFIG = DeviceConfig(greeting="早上好")


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        (
            "welcome",
            Welcome(
                device=7,
                name="东门",
                session="0123456789abcdef" * 2,
                heartbeat_s=20,
                time=MOMENT,
                revision=2,
                config=CONFIG,
            ),
        ),
        ("config", Config(revision=2, config=CONFIG)),
        ("pong", Pong(id=7, time=MOMENT)),
        ("bye", Bye(reason=Reason.REPLACED)),
        ("error", ErrorFrame(code="not_json", zh="不是 JSON", en="not JSON")),
    ],
)
def test_what_the_hub_says_is_golden(name: str, frame: Welcome | Config | Pong | Bye | ErrorFrame) -> None:
    assert frame.text() == GOLDEN["to_terminal"][name]


@pytest.mark.parametrize(
    "order",
    [OpenDoor(reason="访客"), ShowMessage(zh="你好", en="hello"), Restart(), TakeSnapshot()],
    ids=lambda order: order.action,
)
def test_what_the_hub_orders_is_golden(order: Order) -> None:
    assert command_text("6f1c", MOMENT, order) == GOLDEN["to_terminal"][order.action]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hello", Hello(versions=(1,), agent="rollcall-terminal/0.1")),
        ("hello of a newer terminal", Hello(versions=(1, 2), agent="x")),
        ("shortest hello", Hello(versions=(1,))),
        ("ping", Ping(id=7)),
        ("hello with the time", Hello(versions=(1,), time=MOMENT)),
        ("ping with the time", Ping(id=8, time=MOMENT)),
        ("config_taken", ConfigTaken(revision=2)),
        ("ack", Ack(id="6f1c", ok=True)),
        ("ack that refuses", Ack(id="6f1c", ok=False, error="unsupported", detail="no display")),
        ("ack with a picture", Ack(id="6f1c", ok=True, detail="0 kB", picture="/9j/2Q==")),
        ("type of a newer terminal", Unknown()),
        ("shortest ping", Ping()),
        ("bye", Farewell(reason="restart")),
    ],
)
def test_what_a_terminal_says_is_golden(name: str, message: Incoming) -> None:
    assert parse(GOLDEN["to_hub"][name]) == message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "binary"),
        ("", "not_json"),
        ("hello", "not_json"),
        ('{"type":"ping"', "not_json"),
        ('{"type":"ping"}}', "not_json"),
        ("[" * 60_000, "not_json"),
        ('{"type":"bye","reason":"\\ud800"}', "not_json"),
        ("[]", "no_type"),
        ("1", "no_type"),
        ("null", "no_type"),
        ('"hello"', "no_type"),
        ("{}", "no_type"),
        ('{"Type":"ping"}', "no_type"),
        ('{"type":7}', "no_type"),
        ('{"type":null}', "no_type"),
        ('{"type":["ping"]}', "no_type"),
        ('{"type":"ping","time":"yesterday"}', "bad_field"),
        ('{"type":"ping","time":"2026-01-02T03:04:05"}', "bad_field"),
        ('{"type":"ack","id":"a"}', "bad_field"),
        ('{"type":"ack","id":7,"ok":true}', "bad_field"),
        ('{"type":"ack","id":"a","ok":1}', "bad_field"),
        (json.dumps({"type": "ack", "id": "x" * 65, "ok": True}), "bad_field"),
        (json.dumps({"type": "ack", "id": "x", "ok": True, "detail": "x" * 257}), "bad_field"),
        ('{"type":"config_taken"}', "bad_field"),
        ('{"type":"config_taken","revision":-1}', "bad_field"),
        ('{"type":"config_taken","revision":2147483648}', "bad_field"),
        ('{"type":"hello"}', "bad_field"),
        ('{"type":"hello","versions":[]}', "bad_field"),
        ('{"type":"hello","versions":1}', "bad_field"),
        ('{"type":"hello","versions":["1"]}', "bad_field"),
        ('{"type":"hello","versions":[1.5]}', "bad_field"),
        (json.dumps({"type": "hello", "versions": [1] * 17}), "bad_field"),
        (json.dumps({"type": "hello", "versions": [1], "agent": "x" * 129}), "bad_field"),
        ('{"type":"ping","id":-1}', "bad_field"),
        ('{"type":"ping","id":9007199254740992}', "bad_field"),
        ('{"type":"ping","id":NaN}', "bad_field"),
        ('{"type":"ping","id":"7"}', "bad_field"),
        ('{"type":"ping","id":true}', "bad_field"),
        (json.dumps({"type": "bye", "reason": "x" * 65}), "bad_field"),
    ],
)
def test_rubbish_has_a_name(text: str | None, code: str) -> None:
    with pytest.raises(Violation) as caught:
        parse(text)
    assert (caught.value.close, caught.value.frame.code) == (Close.RUBBISH, code)
    assert caught.value.frame.zh
    assert caught.value.frame.en
    json.loads(caught.value.frame.text())


def test_a_conversation_from_hello_to_bye() -> None:
    talk = Conversation()
    assert talk.state is State.GREETING
    assert talk.receive(HELLO, 1.0) == Hello(versions=(1,))
    assert talk.state is State.OPEN
    assert talk.receive(PING, 2.0) == Ping()
    assert talk.state is State.OPEN
    assert talk.receive('{"type":"bye"}', 3.0) == Farewell()
    assert talk.state is State.OVER


@pytest.mark.parametrize("kind", ["result", "welcome", "battery", ""])
def test_types_that_the_hub_does_not_know_are_ignored(kind: str) -> None:
    talk = Conversation()
    talk.receive(HELLO, 1.0)
    assert talk.receive(json.dumps({"type": kind, "n": 1}), 1.0) == Unknown()
    assert talk.receive(PING, 1.0) == Ping()


def test_a_terminal_may_leave_before_hello() -> None:
    talk = Conversation()
    assert talk.receive('{"type":"bye"}', 0.0) == Farewell()
    assert talk.state is State.OVER


@pytest.mark.parametrize(
    ("frames", "close", "code"),
    [
        ([PING], Close.RUBBISH, "out_of_order"),
        ([ACK], Close.RUBBISH, "out_of_order"),
        (['{"type":"battery"}'], Close.RUBBISH, "out_of_order"),
        ([HELLO, HELLO], Close.RUBBISH, "out_of_order"),
        (['{"type":"hello","versions":[2,3]}'], Close.NO_COMMON_VERSION, "version"),
        ([HELLO, "rubbish"], Close.RUBBISH, "not_json"),
    ],
)
def test_breaking_the_order_ends_it(frames: list[str], close: Close, code: str) -> None:
    talk = Conversation()
    for frame in frames[:-1]:
        talk.receive(frame, 0.0)
    with pytest.raises(Violation) as caught:
        talk.receive(frames[-1], 0.0)
    assert (caught.value.close, caught.value.frame.code) == (close, code)
    assert talk.state is State.OVER


def test_many_frames_in_one_second_are_a_flood() -> None:
    talk = Conversation()
    talk.receive(HELLO, 5.0)
    for _ in range(FRAMES_PER_S - 1):
        talk.receive(PING, 5.9)
    with pytest.raises(Violation) as caught:
        talk.receive(PING, 5.99)
    assert caught.value.close is Close.FLOOD


def test_the_same_frames_over_two_seconds_are_not() -> None:
    talk = Conversation()
    talk.receive(HELLO, 5.0)
    for second in (5.5, 6.5):
        for _ in range(FRAMES_PER_S - 1):
            talk.receive(PING, second)
    assert talk.state is State.OPEN


def test_every_reason_has_a_close_code_of_its_own() -> None:
    assert len({reason.close for reason in Reason}) == len(Reason)


# ---- pictures

JPEG = b"\xff\xd8\xff" + b"\0" * 100 + b"\xff\xd9"
BIG = b"\xff\xd8\xff" + b"\0" * (MAX_SNAPSHOT - 5) + b"\xff\xd9"


@pytest.mark.parametrize("jpeg", [JPEG, BIG])
def test_a_picture_is_handed_on(jpeg: bytes) -> None:
    frame = json.dumps({"type": "ack", "id": "a", "ok": True, "picture": base64.b64encode(jpeg).decode()})
    assert len(frame) < MAX_FRAME
    said = parse(frame)
    assert isinstance(said, Ack)
    assert said.outcome() == OrderOutcome(ok=True, picture=jpeg)


@pytest.mark.parametrize(
    "picture",
    [
        "no base64",
        "\u00e9",
        base64.b64encode(b"\x89PNG" + JPEG).decode(),
        base64.b64encode(JPEG[:-1]).decode(),
        base64.b64encode(BIG + b"\xff\xd9").decode(),
        base64.b64encode(b"\xff\xd8\xff").decode(),
    ],
)
def test_what_is_no_picture_of_bounded_size_is_not(picture: str) -> None:
    outcome = Ack(id="a", ok=True, picture=picture).outcome()
    assert (outcome.ok, outcome.error, outcome.picture) == (False, "bad_picture", b"")
