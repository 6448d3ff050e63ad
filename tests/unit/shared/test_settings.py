"""Where settings come from: variables, and files of a folder of secrets."""

from pathlib import Path

import pytest

from shared.runtime import SECRETS_DIR, read_settings
from shared.settings import Settings, own_name


def test_a_secret_may_come_from_a_file_and_a_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rollcall_nats_password").write_text("of the file\n")
    monkeypatch.delenv("ROLLCALL_NATS_PASSWORD", raising=False)
    monkeypatch.setenv(SECRETS_DIR, str(tmp_path))
    assert read_settings("test", Settings).nats_password.get_secret_value() == "of the file"
    monkeypatch.setenv("ROLLCALL_NATS_PASSWORD", "of the variable")
    assert read_settings("test", Settings).nats_password.get_secret_value() == "of the variable"


def test_what_is_missing_is_said_without_what_is_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLCALL_NATS_PASSWORD", "hush")
    monkeypatch.setenv("ROLLCALL_NATS_REPLICAS", "many")
    with pytest.raises(SystemExit) as ended:
        read_settings("test", Settings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("test: ROLLCALL_NATS_REPLICAS: ")
    assert "hush" not in said


def test_a_process_has_a_name_of_its_own_that_a_subject_can_carry() -> None:
    name = own_name()
    assert 0 < len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
