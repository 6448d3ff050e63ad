"""Third parties of an installation that containers run: the server that `rollcall secrets` configures and the bridge as
deploy/compose.yaml sets it, beside a broker that does not listen for MQTT."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiomqtt import Client, MqttError

from mqtt_bridge.service import service
from mqtt_bridge.settings import BridgeSettings
from rollcall.broker import start_server, stop_broker
from rollcall.installation import MQTT_PORT, write_secrets
from rollcall.local import free_port
from rollcall.mqtt import May
from rollcall.mqtt_clients import add_client, remove_client
from shared.runtime import SECRETS_DIR, read_settings
from tests.conftest import PASSWORDS
from tests.integration.mqtt_bridge.conftest import WAIT_S, Ear, Site, a_site

COMPOSE = Path(__file__).parents[3] / "deploy" / "compose.yaml"


@dataclass
class Containers:
    """The secrets' folder, and where things are that a container has elsewhere."""

    secrets: Path
    port: int
    monitor_port: int

    @asynccontextmanager
    async def server(self) -> AsyncIterator[None]:
        """Third parties' own."""
        text = (self.secrets / "mqtt.conf").read_text()
        for there, here in (
            ("/data/", f"{self.secrets.parent}/"),
            ("/run/secrets/", f"{self.secrets}/"),
            (f'"0.0.0.0", port: {MQTT_PORT}', f'"127.0.0.1", port: {self.port}'),
            ("127.0.0.1:8222", f"127.0.0.1:{self.monitor_port}"),
        ):
            assert there in text
            text = text.replace(there, here)
        config = self.secrets.parent / "mqtt.conf"
        config.write_text(text)
        process = await start_server(config, self.monitor_port)
        try:
            yield
        finally:
            await stop_broker(process)

    def settings(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> BridgeSettings:
        """The bridge's, from compose.yaml: its environment, and its secrets as files under their names there."""
        wired: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]["mqtt-bridge"]
        mounted = self.secrets.parent / "run"
        mounted.mkdir()
        for secret in wired["secrets"]:
            source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
            (mounted / target).write_text((self.secrets / source).read_text())
        (mounted / "rollcall_nats_password").write_text(PASSWORDS["mqtt"])
        for name, value in wired["environment"].items():
            plain = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value).replace("/run/secrets", str(mounted))
            monkeypatch.setenv(name, plain)
        assert wired["environment"]["ROLLCALL_MQTT_PORT"] == str(MQTT_PORT)
        elsewhere = {"NATS_URL": site.broker.url, "MQTT_HOST": "127.0.0.1", "MQTT_PORT": self.port, "HEALTH_PORT": 0}
        for name, here in elsewhere.items():
            monkeypatch.setenv(f"ROLLCALL_{name}", str(here))
        monkeypatch.setenv(SECRETS_DIR, str(mounted))
        return read_settings("mqtt-bridge", BridgeSettings)

    @asynccontextmanager
    async def client(self, name: str, password: str, *, tls: bool = True) -> AsyncIterator[Ear]:
        """A third party that believes the certificate and looks at its name."""
        trust = ssl.create_default_context(cafile=str(self.secrets / "mqtt_cert"))
        trust.verify_flags |= ssl.VERIFY_X509_STRICT
        async with Client(
            "127.0.0.1",
            self.port,
            username=name,
            password=password,
            timeout=WAIT_S if tls else 2,
            tls_context=trust if tls else None,
        ) as client:
            yield Ear(client)


async def test_third_parties_of_an_installation_in_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    containers = Containers(tmp_path / "secrets", free_port(), free_port())
    write_secrets(containers.secrets)
    add_client(containers.secrets, "home", May.COMMAND, containers=True)
    password = capsys.readouterr().out.split()[-1]
    write_secrets(containers.secrets, home_assistant="home")
    async with a_site(tmp_path / "nats", None) as site:
        site.put(7)
        settings = containers.settings(site, monkeypatch)
        async with (
            containers.server(),
            containers.client("home", password) as home,
            service(settings),
        ):
            await home.hears("rollcall/v1/status", "rollcall/v1/punch", "homeassistant/#")
            await home.until("rollcall/v1/status", lambda body: b"online" in body)
            await home.until("homeassistant/button/rollcall_7/door/config", bool)
            await site.punch()
            await home.until("rollcall/v1/punch", lambda body: "李雷".encode() in body)
            with pytest.raises(MqttError):
                async with containers.client("home", password, tls=False):
                    pytest.fail("let in without TLS")
    await asyncio.to_thread(remove_client, containers.secrets, "home", containers=True)
    async with containers.server():
        with pytest.raises(MqttError, match="Not authorized"):
            async with containers.client("home", password):
                pytest.fail("let in")
