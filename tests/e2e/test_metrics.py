"""A whole Rollcall at work tells its numbers, all that docs/metrics.md lists and nothing else, and `rollcall top` reads
them."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from rollcall.local import System, free_port
from rollcall.mqtt import MqttOptions
from rollcall.office import bus_of, ensure_device
from shared.bus.terminals import order
from shared.contracts.terminals import OpenDoor, TerminalOrder
from terminal.admission import Identity, Server
from terminal.events import Channel, Punch
from terminal.simulator import Photo, SimulatedTerminal
from tests.e2e.test_command_line import said
from tests.systems import a_system, photos, register, rows, web_client

DOCS = Path(__file__).parents[2] / "docs"
GUIDE, GUIDE_ZH = ((DOCS / name).read_text("utf-8") for name in ("metrics.md", "metrics.zh.md"))
EVERY_SERVICE = {"all services", "全部服务"}
SERVICES = {"gateway", "recognizer", "registry", "device-hub", "mqtt-bridge"}
PROGRAMS_WORD = re.compile(r"[a-z0-9_./{}:+-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Listed:
    """A metric: its type, its labels, the services that tell it."""

    kind: str
    labels: frozenset[str]
    services: frozenset[str]


def listed(guide: str) -> dict[str, Listed]:
    """The table of a guide, in either language."""
    found: dict[str, Listed] = {}
    services: frozenset[str] = frozenset()
    _, table = re.split(r"^\| (?:metric|指标) \|.*\n\|[-|]+\n", guide, flags=re.MULTILINE)
    for line in table.split("\n\n")[0].splitlines():
        name, kind, labels = (cell.strip() for cell in line.split("|")[1:4])
        if name.startswith("**"):
            heading = name.strip("*")
            services = frozenset(SERVICES if heading in EVERY_SERVICE else heading.split(", "))
        else:
            found[name.strip("`")] = Listed(kind, frozenset(re.findall(r"`(\w+)`", labels)), services)
    return found


def told(texts: dict[str, str]) -> dict[str, Listed]:
    """The same of what the services say, by service and text."""
    kinds: dict[str, str] = {}
    labels: dict[str, set[str]] = {}
    services: dict[str, set[str]] = {}
    for service, text in texts.items():
        for family in text_string_to_metric_families(text):
            if family.name.startswith("process_"):
                continue
            name = f"{family.name}_total" if family.type == "counter" else family.name
            kinds[name] = family.type
            services.setdefault(name, set()).add(service)
            for sample in family.samples:
                labels.setdefault(name, set()).update(sample.labels.keys() - {"le"})
    return {
        name: Listed(kind, frozenset(labels.get(name, ())), frozenset(services[name])) for name, kind in kinds.items()
    }


async def at_work(system: System) -> None:
    """A student clocks in at a terminal, whose door is opened from afar; somebody looks for pages."""
    (first, second, *_) = photos()["Barack Obama"]
    async with web_client(system) as web, bus_of(system.options.data) as bus:
        assert (await register(web, "S4711", "Barack", first)).status_code == 303
        for path in ("/", "/static/css/rollcall.css", "/office/students/S4711", "/nothing/S4711"):
            await web.get(path)
        device, secret = await ensure_device(bus, "东门", "SN-4711")
        server = Server(system.running.url, system.running.hub_url)
        simulated = SimulatedTerminal(Identity(device.name, device.sn, secret), server, [Photo("Barack", second)])
        async with simulated.playing() as sights:
            heard = set[Channel]()
            async for sight in sights:
                if isinstance(sight.event, Punch):
                    heard.add(sight.event.channel)
                    if len(heard) == 2:
                        break
            wish = TerminalOrder(device_id=device.device_id, order=OpenDoor(), by="test")
            assert (await order(bus, wish)).ok


async def scraped(system: System) -> dict[str, str]:
    """What each process says, by its name."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return {name: (await client.get(f"{url}/metrics")).text for name, url in system.running.admin_urls.items()}


def test_both_guides_list_the_same() -> None:
    """Metrics, labels, services; and row by row of every table the same words of the program and expressions."""
    assert listed(GUIDE) == listed(GUIDE_ZH)
    rows_of, rows_of_zh = (
        [sorted(re.findall("`[^`]+`", line)) for line in guide.splitlines() if line.startswith("|")]
        for guide in (GUIDE, GUIDE_ZH)
    )
    assert rows_of == rows_of_zh


async def test_a_system_at_work_tells_what_the_guide_lists_and_top_shows_it(tmp_path: Path) -> None:
    async with a_system(tmp_path, hubs=2, mqtt=MqttOptions(port=free_port())) as system:
        await at_work(system)
        texts = await scraped(system)
        hubs = {name: text for name, text in texts.items() if name.startswith("device-hub")}
        held = [name for name, text in hubs.items() if 'rollcall_handshakes_total{outcome="admitted"} 0.0' not in text]
        assert (len(hubs), len(held)) == (2, 1)  # each tells its own
        everything = {name: texts[name] for name in ("gateway", "registry", "mqtt-bridge")}
        everything |= {"recognizer": texts["recognizer-1"], "device-hub": texts[held[0]]}
        assert told(everything) == listed(GUIDE)
        for line, service in (
            ('rollcall_punches_total{outcome="recorded"} 1.0', "registry"),
            ("rollcall_punch_lag_seconds_count 1.0", "registry"),
            ('rollcall_orders_total{outcome="done"} 1.0', "device-hub"),
            ('rollcall_http_requests_total{method="GET",route="elsewhere",status="404"} 1.0', "gateway"),
            ('rollcall_index_faces{index="door"} 1.0', "recognizer"),
        ):
            assert line in everything[service], line
        _nobody_is_named(texts)
        async with web_client(system) as web:
            assert (await web.get("/metrics")).status_code == 404
        await _top_shows(system)


def _nobody_is_named(texts: dict[str, str]) -> None:
    for text in texts.values():
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                for value in sample.labels.values():
                    assert PROGRAMS_WORD.fullmatch(value), sample
                    assert "4711" not in value


async def _top_shows(system: System) -> None:
    here = ("--data", str(system.options.data), "--once", "--interval", "0.5")
    status, words = await said("top", *here)
    assert (status, "\x1b" in words) == (0, False)
    for part in ("recognizer-1", "ready", "library", "revision 1 of 1", "outbox 0"):
        assert part in words, words
    await system.children["device-hub-2"].stop()
    seen = json.loads((await said("top", *here, "--json"))[1])
    states = {line["name"]: line["up"] for line in seen["processes"]}
    assert states == {name: name != "device-hub-2" for name in system.running.admin_urls}
    assert (seen["broker"]["connected"], seen["library"]["head"]) == (7, 1)
    urls = [part for name in ("gateway", "registry") for part in ("--url", system.running.admin_urls[name])]
    seen = json.loads((await said("top", "--once", "--json", *urls))[1])
    assert [(line["name"], line["not_ready"]) for line in seen["processes"]] == [("gateway", []), ("registry", [])]
    assert len(rows(system, "SELECT 1 FROM punches")) == 1
