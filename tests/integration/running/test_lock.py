"""Of two systems on one folder the second one is refused; of a killed one the broker is ended, and nobody else."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rollcall.keys import DataFolderError, Keys
from rollcall.local import free_port
from rollcall.running import FolderLock, broker_pid

SUPERVISOR = """
import asyncio, json, sys
from pathlib import Path
from rollcall.broker import start_broker
from rollcall.running import FolderLock

async def main(data, port, monitor_port, passwords):
    lock = FolderLock(Path(data))
    lock.take()
    inherit = (lock.descriptor,)
    await start_broker(Path(data) / "nats", port=port, monitor_port=monitor_port, passwords=passwords, inherit=inherit)
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*map(json.loads, sys.argv[1:])))
"""


@asynccontextmanager
async def a_supervisor(data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """One that has started its broker, and has not written its note yet."""
    arguments = (str(data), free_port(), free_port(), dict(Keys.of(data).broker))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SUPERVISOR, *map(json.dumps, arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"up\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_broker_of_a_killed_supervisor_is_ended_and_the_folder_taken(tmp_path: Path) -> None:
    async with a_supervisor(tmp_path) as supervisor:
        waiting = FolderLock(tmp_path)
        with pytest.raises(DataFolderError, match="Another Rollcall"):
            waiting.take()
        supervisor.kill()
        await supervisor.wait()
        assert broker_pid(tmp_path) is not None
        waiting.take()
        assert broker_pid(tmp_path) is None
        waiting.release()


def test_a_stranger_who_has_the_brokers_number_by_now_is_no_broker(tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "nats.pid").write_text(str(os.getpid()))
    assert broker_pid(tmp_path) is None
