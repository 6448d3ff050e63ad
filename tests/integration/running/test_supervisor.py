"""Who watches over the processes goes on, whatever happens to a process, to its reader or to the machine."""

import asyncio
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from rollcall.keys import Keys
from rollcall.local import BrokerChild, CannotStart, Options, free_port, local_system
from rollcall.running import FolderLock, broker_pid
from rollcall.supervisor import Child, Show
from shared.runtime import background
from shared.testing import eventually

PIPE = 64 * 1024
"""what a pipe holds that nobody reads"""


@pytest.fixture
def child(tmp_path: Path) -> Callable[[str, Show], Child]:
    """Makes a child whose program is given."""

    def make(program: str, show: Show) -> Child:
        (tmp_path / "program.py").write_text(textwrap.dedent(program))
        return Child("child", "program", {"PYTHONPATH": str(tmp_path)}, show)

    return make


class Shown:
    """What was shown, and whether it was."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, name: str, line: str) -> None:
        self.lines.append(line)

    async def has(self, part: str) -> bool:
        return any(part in line for line in self.lines)


async def test_a_child_is_read_on_when_nobody_reads_what_is_shown(child: Callable[[str, Show], Child]) -> None:
    """As with `rollcall up | head`: otherwise its pipe fills, and it hangs for ever."""

    def show(name: str, line: str) -> None:
        raise BrokenPipeError

    talking = child(f"for number in range({PIPE // 32}): print('x' * 64)", show)
    async with background(talking.keep_running()):

        async def begun_again() -> bool:
            return talking.restarts == 1

        await eventually(begun_again)
        await talking.stop()


async def test_a_child_that_cannot_be_started_is_tried_again(child: Callable[[str, Show], Child]) -> None:
    shown = Shown()
    quiet = child("import signal; print('here', flush=True); signal.pause()", shown)
    quiet.env = environment = {**quiet.env, "TOO_LONG": "x" * 4_000_000}
    async with background(quiet.keep_running()):
        await eventually(lambda: shown.has("cannot be started"))
        del environment["TOO_LONG"]
        await eventually(lambda: shown.has("here"))
        await quiet.stop()


async def test_a_child_that_is_stopped_while_it_is_started_ends(child: Callable[[str, Show], Child]) -> None:
    quiet = child("import signal; signal.pause()", Shown())
    watch = asyncio.create_task(quiet.keep_running())
    await asyncio.sleep(0)
    await quiet.stop()
    async with asyncio.timeout(5):
        await watch


async def test_the_broker_is_started_again_when_it_can_be(tmp_path: Path) -> None:
    """Something stands in the way of its files, as a full disk would."""
    shown, lock, folder = Shown(), FolderLock(tmp_path), tmp_path / "nats"
    broker = BrokerChild(Options(tmp_path), free_port(), free_port(), Keys.of(tmp_path), shown, lock)
    await broker.start()
    try:
        async with background(broker.keep_running()):
            first = broker.process
            assert first is not None
            assert broker_pid(tmp_path) == first.pid
            folder.rename(tmp_path / "aside")
            folder.write_text("in the way")
            first.kill()
            await eventually(lambda: shown.has("cannot be started"))
            folder.unlink()
            (tmp_path / "aside").rename(folder)

            async def runs() -> bool:
                return broker.process is not first and broker.process is not None

            await eventually(runs)
            assert broker.process is not None
            assert broker_pid(tmp_path) == broker.process.pid
    finally:
        await broker.stop()
        lock.release()


async def test_a_system_that_nobody_watches_over_ends_and_says_so(tmp_path: Path) -> None:
    def show(name: str, line: str) -> None:
        raise RuntimeError("nobody thought of this")

    options = Options(tmp_path, port=free_port(), hub_port=free_port(), recognizers=1)
    with pytest.raises(CannotStart, match=r"Nobody watches over .*nobody thought of this"):
        async with local_system(options, show, print):
            await asyncio.Event().wait()
    assert broker_pid(tmp_path) is None
