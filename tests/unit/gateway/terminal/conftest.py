"""A gateway in memory for each test."""

import pytest

from tests.unit.gateway.terminal.host_double import HostDouble


@pytest.fixture
def host() -> HostDouble:
    return HostDouble()
