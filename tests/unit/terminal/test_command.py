"""`rollcall terminal`: options, file, environment, and sentences for what is wrong."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rollcall.terminal import _hub_beside, _secret, terminal

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
    ],
)
def test_what_is_wrong_is_one_sentence(options: tuple[str, ...], words: str) -> None:
    status, output = said(*options)
    assert status != 0
    assert words in output
    assert "Traceback" not in output


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
    assert _secret(file) == "0123abcd"
    assert capsys.readouterr().err == ""
    file.chmod(0o644)
    assert _secret(file) == "0123abcd"
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


async def test_without_a_server_it_goes_on_and_ends_politely() -> None:
    options = (*WHO, "--server", "http://127.0.0.1:1", "--relay", "modbus+tcp://127.0.0.1:1")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rollcall", "terminal", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(30):
        while not ("offline: hub" in "".join(lines) and "relay: The Modbus relay" in "".join(lines)):
            line = await process.stdout.readline()
            assert line, lines
            lines.append(line.decode())
        process.send_signal(signal.SIGINT)
        rest = (await process.stdout.read()).decode()
        assert await process.wait() == 0, rest
    assert "Traceback" not in rest
    assert all(line[2] == line[5] == ":" for line in lines), lines  # nothing but our own lines, each with its time
