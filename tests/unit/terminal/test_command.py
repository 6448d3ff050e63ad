"""`rollcall terminal`: options, file, environment, and sentences for what is wrong."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click
import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from recognizer.settings import RecognizerSettings
from rollcall.standalone import standalone
from rollcall.terminal import _hub_beside, secret_of, terminal
from terminal.library import Known
from terminal.offline import EyeSettings
from terminal.punches import State
from terminal.sealing import change_secret
from terminal.simulator import empty_frame
from terminal.standalone import open_box

WHO = ("--name", "东门", "--sn", "E-1")


def said(*options: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(terminal, options, env=env)
    return done.exit_code, done.output


def test_help_shows_how_to_start_one() -> None:
    status, words = said("--help")
    assert status == 0
    for part in ("rollcall device add", "--secret-file", "modbus+tcp://", "rtsp://", "fifo:/", "--display", "--config"):
        assert part in words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--name"),
        ((*WHO, "--server", "10.0.0.2"), "no address like http://10.0.0.2:8000"),
        ((*WHO, "--relay", "magic:"), "begin with simulated:"),
        ((*WHO, "--relay", "gpio:///dev/no-chip?line=1"), "no GPIO chip"),
        ((*WHO, "--card", "nfc:"), "write stdin"),
        ((*WHO, "--secret-file", "/dev/null"), "the secret belongs there"),
        ((*WHO, "--ca", __file__), "no certificate in PEM form"),
    ],
)
def test_what_is_wrong_is_one_sentence(options: tuple[str, ...], words: str) -> None:
    status, output = said(*options)
    assert status != 0
    assert words in output
    assert "Traceback" not in output


def test_without_networks_it_says_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = (*WHO, "--offline", str(tmp_path / "door"))
    env = {"ROLLCALL_TERMINAL_SECRET": "s", "ROLLCALL_MODELS": str(tmp_path / "none")}
    status, output = said(*alone, env=env)
    assert (status, "make models" in output, "Traceback" in output) == (1, True, False)
    monkeypatch.setitem(sys.modules, "openvino", None)  # as where it is not installed
    status, output = said(*alone, env={"ROLLCALL_TERMINAL_SECRET": "s"})
    assert (status, output) == (1, "Error: openvino is not installed: pip install 'rollcall[terminal,vision]'\n")


def test_a_file_and_the_environment_give_options_and_the_command_line_wins(tmp_path: Path) -> None:
    file = tmp_path / "door.toml"
    file.write_text('name = "东门"\nsn = "E-1"\nrelay = "magic:"\n', encoding="utf-8")
    assert "magic:: begin with" in said("--config", str(file))[1]
    assert "tragic:: begin with" in said("--config", str(file), env={"ROLLCALL_TERMINAL_RELAY": "tragic:"})[1]
    both = said("--config", str(file), "--relay", "comic:", env={"ROLLCALL_TERMINAL_RELAY": "tragic:"})
    assert "comic:: begin with" in both[1]


@pytest.mark.parametrize(("text", "words"), [("nmae = 1", "there is no option nmae"), ("name =", "door.toml")])
def test_a_wrong_file(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "door.toml"
    file.write_text(text)
    status, output = said("--config", str(file))
    assert status != 0
    assert words in output.replace("\n", " ")


def test_the_secret_comes_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "secret"
    file.write_text("0123abcd\n")
    file.chmod(0o600)
    assert secret_of(file) == "0123abcd"
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    assert secret_of(file) == "0123abcd"
    assert "chmod 600" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("server", "hub"),
    [
        ("http://10.0.0.2:8000", "ws://10.0.0.2:8001"),
        ("https://school.example", "wss://school.example:444"),
        ("http://[::1]:9000", "ws://[::1]:9001"),
    ],
)
def test_the_hub_is_beside_the_gateway(server: str, hub: str) -> None:
    assert _hub_beside(server) == hub


@asynccontextmanager
async def started(*options: str, **env: str) -> AsyncIterator[Callable[..., Awaitable[list[str]]]]:
    """`rollcall terminal` as a process; gives what waits for lines with these words. It ends by SIGINT, politely."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall", "terminal", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
    )
    assert process.stdout is not None
    output, lines = process.stdout, list[str]()

    async def until(*words: str) -> list[str]:
        while not all(word in "".join(lines) for word in words):
            line = await output.readline()
            assert line, lines
            lines.append(line.decode())
        return lines

    try:
        async with asyncio.timeout(60):
            yield until
            process.send_signal(signal.SIGINT)
            rest = (await output.read()).decode()
            assert await process.wait() == 0, rest
        assert "Traceback" not in rest
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def eye_of(command: click.Command, *options: str) -> EyeSettings:
    given = command.make_context("it", list(options)).params
    return EyeSettings(**{name: given[name] for name in ("fpir", "liveness", "liveness_motion")})


@pytest.mark.parametrize(("command", "needed"), [(terminal, WHO), (standalone.commands["run"], ("--camera", "0"))])
def test_what_an_eye_asks_for_is_an_option_with_the_recognizers_words_and_defaults(
    command: click.Command, needed: tuple[str, ...]
) -> None:
    ours, theirs = eye_of(command, *needed), RecognizerSettings(nats_password=SecretStr("x"))
    assert ours == EyeSettings(theirs.fpir, theirs.liveness, theirs.liveness_motion)
    strict = eye_of(command, *needed, "--fpir", "0.001", "--liveness", "HIGH", "--liveness-motion", "require-live")
    assert strict == EyeSettings(0.001, "HIGH", "require-live")
    options = {option.name: option.type for option in command.params}
    for name in ("liveness", "liveness_motion"):
        choice = options[name]
        assert isinstance(choice, click.Choice)
        assert tuple(choice.choices) == get_args(RecognizerSettings.model_fields[name].annotation)


async def test_without_a_server_it_goes_on_and_ends_politely() -> None:
    async with started(*WHO, "--server", "http://127.0.0.1:1", "--relay", "modbus+tcp://127.0.0.1:1") as until:
        lines = await until("offline: hub", "relay: The Modbus relay")
    assert all(line[2] == line[5] == ":" for line in lines), lines  # nothing but our own lines, each with its time


async def test_it_recognises_without_a_server_and_starts_again_with_the_same_words(tmp_path: Path) -> None:
    """As after an order `restart`: the secret was changed at the first start already. A punch that is held although its
    owner has joined is let go."""
    folder, camera, former = tmp_path / "door", tmp_path / "photos", tmp_path / "former"
    camera.mkdir()
    (camera / "empty.jpg").write_bytes(empty_frame())
    former.write_text("former secret")
    former.chmod(0o600)
    with open_box(folder, b"former secret") as box:
        box.library.put(Known("1", "Ada", ()))
        box.punches.add("1", "Ada", datetime(2026, 3, 2, tzinfo=UTC), 90, held=True)
    change_secret(folder, b"former secret", b"secret of now")
    options = (*WHO, "--server", "http://127.0.0.1:1", "--camera", str(camera), "--offline", str(folder))
    async with started(
        *options, "--former-secret-file", str(former), ROLLCALL_TERMINAL_SECRET="secret of now"
    ) as until:
        await until("offline: hub", "this terminal recognises")
    with open_box(folder, b"secret of now") as box:
        assert [punch.state for punch in box.punches.rows()] == [State.WAITING]
