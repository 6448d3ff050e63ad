"""Alerts and dashboard ask for numbers that exist: those of docs/metrics.md, which running services are held to."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy/monitoring"
NAME = re.compile(r"\b(?:rollcall|process)_[a-z_]+\b")

ADDED_UP = re.compile(r"\bsum *(by *\([^()]*\))? *\(rollcall_(consumer|outbox)_")


def known() -> set[str]:
    """Every metric of the guide, and what Prometheus makes of a histogram."""
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    names = set(re.findall(r"^\| `(rollcall_[a-z_]+)` \|", text, re.MULTILINE))
    parts = {
        f"{name}_{part}"
        for name in re.findall(r"^\| `(\w+)` \| histogram", text, re.MULTILINE)
        for part in ("bucket", "sum", "count")
    }
    return names | parts | set(re.findall(r"`(process_[a-z_]+)`", text))


def alerts() -> list[dict[str, str]]:
    return [
        rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
    ]


def board() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((MONITORING / "grafana/dashboards/rollcall.json").read_text(encoding="utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_is_told(alert: dict[str, str]) -> None:
    assert set(NAME.findall(alert["expr"])) <= known()


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_told(panel: dict[str, list[dict[str, str]]]) -> None:
    asked = {name for target in panel["targets"] for name in NAME.findall(target["expr"])}
    assert asked
    assert asked <= known()


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    """By its own schema, of which this is a reader: what that drops or changes is a word that Grafana does not know."""
    plugins.register_default_plugins()
    understood = json.loads(json.dumps(Dashboard.from_json(board()), cls=JSONEncoder))
    assert _without_defaults(understood, board()) == board()


def _without_defaults(understood: Any, written: Any) -> Any:
    """What was understood, but for what was not written."""
    if isinstance(written, dict):
        return {key: _without_defaults(understood.get(key), value) for key, value in written.items()}
    if isinstance(written, list):
        return [_without_defaults(one, other) for one, other in zip(understood, written, strict=True)]
    return understood


def test_what_every_container_tells_of_the_whole_is_not_added_up() -> None:
    """Three containers would tell three times the depth, and one that could not ask would make it no number at all."""
    asked = [alert["expr"] for alert in alerts()]
    asked += [target["expr"] for panel in panels() for target in panel["targets"]]
    assert any("max(rollcall_consumer_" in expression for expression in asked)
    assert [expression for expression in asked if ADDED_UP.search(expression)] == []


def test_every_alert_is_in_the_operators_guide() -> None:
    guide = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
    assert [alert["alert"] for alert in alerts() if alert["alert"] not in guide] == []


def test_every_service_is_scraped_on_the_operators_port() -> None:
    jobs = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    found = {(job["job_name"], *job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"]) for job in jobs}
    assert found == {(name, name, 9100) for name in ("gateway", "recognizer", "registry", "device-hub", "mqtt-bridge")}
