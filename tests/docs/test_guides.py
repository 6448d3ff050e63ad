"""README and docs/ do what they say: every block that somebody may type is typed, in order, into one running system
that `make up` has started."""

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from rollcall.local import free_port
from tests.conftest import require_real
from tests.docs.guides import COMMAND, EXEMPT, ROOT, RUN, SHOWN, UP, Block, guides, to_run
from tests.systems import photos

PAGES = guides()
BOX = "left=132 -F top=102 -F right=876 -F bottom=946"
"""the face in the terminal makers' picture; where it is in ours, the test asks"""
SOMEBODY = "Joe Biden"
"""whom the guides register; the demo, which comes before, does not"""
ENDED = "---- block ended"
READY_S, GUIDE_S = 120, 240


# ---- the pages themselves


@pytest.mark.parametrize("name", list(PAGES))
def test_blocks_say_what_they_are(name: str) -> None:
    assert {block.kind for block in PAGES[name]} <= RUN | SHOWN
    assert [block.text for block in PAGES[name] if block.kind in SHOWN and COMMAND.search(block.text)] == []


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".zh.md")])
def test_both_languages_have_the_same_blocks(name: str) -> None:
    """So one of them is run for both. The English guide to terminals has one more, in Python."""
    typed, twin = ([b.typed for b in PAGES[page] if b.kind in RUN] for page in (name, name.replace(".zh.md", ".md")))
    if name == "docs/terminals.zh.md":
        twin = [text for text in twin if text in typed]
    assert typed == twin


def test_what_is_not_run_is_there() -> None:
    for name, exempt in EXEMPT.items():
        if name in PAGES:
            for begins in exempt:
                assert any(block.text.startswith(begins) for block in PAGES[name]), (name, begins)


@pytest.mark.parametrize("name", list(PAGES))
def test_links_lead_somewhere(name: str) -> None:
    """Links between the pages, and to files."""
    page = (ROOT / name).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", page):
        if "://" not in target:
            assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("docs/") and ".zh" not in name])
def test_every_guide_is_linked_from_the_first_page_and_has_its_twin(name: str) -> None:
    assert f"]({name})" in (ROOT / "README.md").read_text("utf-8")
    assert name.replace(".md", ".zh.md") in PAGES


# ---- what is typed


@dataclass(frozen=True)
class Place:
    """Where the guides are tried: a folder like a fresh checkout that is installed, and the system that runs there."""

    folder: Path
    env: dict[str, str]
    web: str
    hub: str

    def here(self, text: str) -> str:
        """The addresses of this system for those of the guides."""
        for address in ("http://127.0.0.1:8000", "http://rollcall.example:8000"):
            text = text.replace(address, self.web)
        return text.replace("ws://127.0.0.1:8001", self.hub)

    async def typed(self, script: str) -> tuple[int, str]:
        """(exit status, everything printed) of a script that ends by itself."""
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            script,
            cwd=self.folder,
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(GUIDE_S):
            said, _ = await process.communicate()
        return process.returncode or 0, said.decode()


def installed(folder: Path) -> Path:
    """What a checkout looks like after `make` has installed it: the installation is the one that tests run in."""
    (folder / ".venv").mkdir(parents=True)
    for part in ("bin", "lib", "share", "pyvenv.cfg"):
        (folder / ".venv" / part).symlink_to(Path(sys.prefix) / part)
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "shared"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv" / "installed").touch()
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """`make up`, as the first page says it."""
    if not all(map(shutil.which, ("make", "bash", "curl"))):
        require_real("make, bash and curl")
    folder, web, hub = installed(tmp_path_factory.mktemp("guides") / "rollcall"), free_port(), free_port()
    path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "ARGS": f"--port {web} --hub-port {hub}", "PYTHONUNBUFFERED": "1"}
    up = await asyncio.create_subprocess_exec(
        *("bash", "-c", UP),
        cwd=folder,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert up.stdout is not None
    printed: list[str] = []
    try:
        async with asyncio.timeout(READY_S):
            while not any("No camera at hand?" in line for line in printed):
                line = (await up.stdout.readline()).decode()
                assert line, "".join(printed)
                printed.append(line)
        reading = asyncio.create_task(up.stdout.read())
        (folder / "face.jpg").write_bytes(photos()[SOMEBODY][0])
        (folder / "photos").mkdir()
        (folder / "photos" / "somebody.jpg").write_bytes(photos()[SOMEBODY][-1])
        yield Place(folder, {**env, "ARGS": ""}, f"http://127.0.0.1:{web}", f"ws://127.0.0.1:{hub}")
    finally:
        os.killpg(up.pid, signal.SIGINT)  # as Ctrl-C does
        await up.wait()
    await reading


async def box_of_the_face(place: Place) -> str:
    """Of face.jpg, as a terminal gets it."""
    image = base64.b64encode((place.folder / "face.jpg").read_bytes()).decode()
    async with httpx.AsyncClient(base_url=place.web, trust_env=False, timeout=20) as web:
        who = {"deviceName": "东门", "sn": "E-1"}
        token = (await web.post("/faces/api/token", data=who)).json()["token"]
        seen = (await web.post("/faces/api/faceDetect", data={"token": token, "image": image})).json()
    return " -F ".join(f"{edge}={seen['faceContent'][0][edge]}" for edge in ("left", "top", "right", "bottom"))


def shape(value: Any) -> Any:
    """Keys and types."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value[:1]]
    return type(value).__name__


def script_of(blocks: list[Block]) -> str:
    """One shell for all blocks, so that what one sets the next one has."""
    script = "set -eu\n"
    for number, block in enumerate(blocks):
        if block.kind == "python":
            script += f"cat > block{number}.py <<'ENDED'\n{block.text}ENDED\npython block{number}.py\n"
        else:
            script += block.text
        script += f"echo '{ENDED}'\n"
    return script


def answers_after(name: str) -> dict[Block, Any]:
    """A block → the JSON printed right below it."""
    page, blocks = (ROOT / name).read_text("utf-8"), PAGES[name]
    return {
        block: json.loads(below.text)
        for block, below in pairwise(blocks)
        if below.kind == "json" and block.kind in RUN and not page[block.end : below.start].strip()
    }


GUIDES = sorted(
    (name for name in PAGES if not name.endswith(".zh.md") and list(to_run(name, PAGES[name]))),
    key=lambda name: (name != "docs/start.md", name),
)
"""The quick start first: its demo wants to be alone with its people."""


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", GUIDES)
async def test_a_guide_does_what_it_says(place: Place, name: str) -> None:
    """All its blocks as one script; an answer has the keys and types of the JSON printed below its block."""
    blocks = list(to_run(name, PAGES[name]))
    script = place.here(script_of(blocks))
    if name == "docs/terminals.md":
        status, said = await place.typed("rollcall device add --serial-only 东门 E-1")
        assert status == 0, said
        assert BOX in script
        script = script.replace(BOX, await box_of_the_face(place))
    status, said = await place.typed(script)
    assert status == 0, said
    outputs = said.split(ENDED + "\n")[:-1]
    assert len(outputs) == len(blocks)
    printed = answers_after(name)
    for block, output in zip(blocks, outputs, strict=True):
        if block in printed:
            answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
            assert all(answer.get("code", 0) == 0 for answer in answers), output
            assert [shape(answer) for answer in answers] == [shape(printed[block])], block.text
