"""The terminal maker's guide names every code that a terminal can meet."""

import re
from pathlib import Path

import pytest

from device_hub.protocol import Close, Reason
from shared.codes import DeviceCode

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "terminals.md").read_text("utf-8")
PROTOCOL = (ROOT / "services" / "device-hub" / "device_hub" / "protocol.py").read_text("utf-8")


@pytest.mark.parametrize("code", list(Close))
def test_close_codes(code: Close) -> None:
    assert f"| {int(code)} |" in GUIDE


@pytest.mark.parametrize("reason", list(Reason))
def test_reasons(reason: Reason) -> None:
    assert f'{{"type":"bye","reason":"{reason}"}}` | {int(reason.close)} |' in GUIDE


@pytest.mark.parametrize("code", sorted(set(re.findall(r'Violation\(\s*Close\.\w+, "(\w+)"', PROTOCOL))))
def test_error_codes(code: str) -> None:
    assert f"`{code}`" in GUIDE or f'"code":"{code}"' in GUIDE


@pytest.mark.parametrize("code", list(DeviceCode))
def test_seed_004s_codes(code: DeviceCode) -> None:
    assert f"| {int(code)} |" in GUIDE
