"""`rollcall device` says what is wrong with a command before it looks for a running system."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from rollcall.access import device


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("edit", "东门"), "Say what to change"),
        (("edit", "东门", "--mode", "sometimes"), "'sometimes' is not one of 'online', 'offline'"),
        (("remove",), "Say either NAME or --pending"),
        (("remove", "--pending", "东门"), "Say either NAME or --pending"),
        (("message", "东门", "x" * 129), "String should have at most 128 characters"),
        (("edit", "东门", "--class", ""), "No Rollcall is running"),
        (("remove", "--pending"), "No Rollcall is running"),
    ],
)
def test_a_wrong_command_is_said(tmp_path: Path, command: tuple[str, ...], words: str) -> None:
    name, *rest = command
    answer = CliRunner().invoke(device, [name, "--data", str(tmp_path), *rest])
    assert answer.exit_code != 0
    assert words in answer.output
    assert "Traceback" not in answer.output
