"""The fenced blocks of README and docs/, and what is done with each."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(
    r"^(?:sudo |\S*/)?(?:rollcall|make|pip3?|python3?|curl|chromium|git|apt-get|docker) ", re.MULTILINE
)
"""a line of a page that somebody would type"""
RUN = frozenset({"sh", "python"})
SHOWN = frozenset({"", "json", "yaml", "ini", "nginx", "toml", "html"})
"""kinds of blocks that nobody types in"""

UP = "make up\n"
"""the block that starts everything: the fixture runs it as it stands, on free ports"""

ITSELF = "this very test is part of it"
A_SECOND_SYSTEM = "starts a second system with other settings"
COMPOSE = "needs a Docker engine: tests/compose types it there"

EXEMPT: dict[str, dict[str, str]] = {
    "README.md": {"make test\n": ITSELF, "make demo\n": "docs/start.md has it as well"},
    "docs/baidu-cloud.md": {
        "export ROLLCALL_ENGINE=baidu": f"{A_SECOND_SYSTEM}, against the cloud: tests/e2e/test_baidu_cloud.py",
        "rollcall baidu reconcile": "asks the cloud: tests/e2e/test_baidu_cloud.py types it",
        "rollcall import-baidu": "asks the cloud: tests/e2e/test_moving.py types it",
    },
    "docs/operating.md": {
        "cd deploy": COMPOSE,
        "printf 'choose-a-long-one": COMPOSE,
        "docker compose exec -T proxy cat": COMPOSE,
        "docker compose up -d --no-recreate --scale": COMPOSE,
        "echo COMPOSE_FILE": COMPOSE,
        "echo COMPOSE_PROFILES": f"{COMPOSE}, where the image of Grafana can be pulled",
        "mkdir -p backup": COMPOSE,
        "printf 'a-long-passphrase": COMPOSE,
        "docker compose stop registry nats": COMPOSE,
        "sh images.sh": COMPOSE,
    },
    "docs/scale.md": {
        "rollcall up --hubs": f"{A_SECOND_SYSTEM}, with 65,536 terminals: tests/e2e/test_fleet.py has fewer"
    },
    "docs/security.md": {"make audit": "asks the public list of known holes, which a test must not need"},
    "docs/terminals.md": {
        "rollcall device add": "a camera, a relay, a screen: tests/e2e/test_door.py starts the program",
        "rollcall standalone run": "a camera, and a server elsewhere: tests/e2e/test_offline_terminal.py does it",
    },
    "docs/start.md": {"ROLLCALL_REGISTER_CHALLENGE=on": f"{A_SECOND_SYSTEM}: tests/e2e/test_liveness.py"},
    "docs/mqtt.md": {
        "rollcall mqtt add home": "tests/e2e/test_mqtt.py types it, into a system that has MQTT on",
        "import json, os": "tests/e2e/test_mqtt.py runs it; it listens for ever",
        "docker run": COMPOSE,
        "install -m 444": COMPOSE,
    },
}
"""Guide → how a block that is not run begins → why. One that begins no block fails the test."""


@dataclass(frozen=True)
class Block:
    """`end` is where it ends in its page."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def typed(self) -> str:
        """Without the comments, which speak the page's language."""
        return re.sub(r"(^|[ \t]+)#.*", "", self.text)


def blocks_of(page: str) -> list[Block]:
    """All fenced blocks in their order."""
    fences = re.finditer(r"^```(\w*)[^\n]*\n(.*?)^```[ ]*$", page, re.MULTILINE | re.DOTALL)
    return [Block(found[1], found[2], found.start(), found.end()) for found in fences]


def guides() -> dict[str, list[Block]]:
    """Every page with its blocks, by its path from the root."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {str(page.relative_to(ROOT)): blocks_of(page.read_text("utf-8")) for page in pages}


def reason_not_to_run(name: str, block: Block) -> str:
    """Empty for a block that is run."""
    if block.text == UP:
        return "the fixture has run it"
    return next((why for begins, why in EXEMPT.get(name, {}).items() if block.text.startswith(begins)), "")


def to_run(name: str, blocks: list[Block]) -> Iterator[Block]:
    """The blocks of a guide that a test executes."""
    for block in blocks:
        if block.kind in RUN and not reason_not_to_run(name, block):
            yield block
