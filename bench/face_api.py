"""Where the time of a `search` call goes: python -m bench.face_api [--calls 200] [--new] [--photos FOLDER]

A whole Rollcall is started; a program searches with a photograph again and again, over one kept connection. Of every
call the wall time is taken at the program, and the recognizer's own time (decode, detect, embed, index) from its
result on the bus. What lies between them is the gateway's work on the picture (base64, its header; timed here by
itself) and the way: HTTP, JSON, the broker, two turns of the event loops.

With `--new` a few bytes behind the JPEG's end differ in every call, so each face token is new and its photo goes to the
registry: the difference is what keeping tokens costs.

Wall times mean little while other work runs, so the processor's time is shown as well (Linux): that of the
recognizer's threads besides the main one, which do nothing but vision and index, and of everything else.
"""

import argparse
import asyncio
import base64
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx

from gateway.baidu_api.pictures import decoded
from rollcall.keys import Keys
from rollcall.local import Options, System, free_port, local_system
from rollcall.office import bus_of
from shared.bus import connect
from shared.contracts.library import CreateKey
from shared.contracts.recognition import Result
from shared.sample_faces import load
from shared.vision.picture import inspect

CACHE = Path(".cache/faces")
API = "/rest/2.0/face/v3"
IDLE_S = 5.0
"""what the services spend while nobody calls is measured for this long, and taken off"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--new", action="store_true", help="a new face token with every call")
    parser.add_argument("--photos", type=Path, default=CACHE)
    return parser.parse_args()


async def main() -> None:
    given = arguments()
    people = load(given.photos)
    with tempfile.TemporaryDirectory() as folder:
        options = Options(data=Path(folder) / "data", port=free_port(), hub_port=free_port(), recognizers=1)
        async with local_system(options, lambda _name, _line: None, lambda _line: None) as system:
            await measure(system, people["Jacinda Ardern"], given.calls, new=given.new)


async def measure(system: System, photos: tuple[bytes, ...], calls: int, *, new: bool) -> None:
    took: list[float] = []

    async def heard(result: Result, _: str) -> None:
        took.append(result.took_ms)

    registered, probe = (base64.b64encode(photo).decode() for photo in photos[:2])
    probes = [base64.b64encode(photos[1] + bytes(f"{n:06}", "ascii")).decode() if new else probe for n in range(calls)]
    password = Keys.of(system.options.data).broker["gateway"]
    async with (
        bus_of(system.options.data) as office,
        connect(system.running.nats_url, "gateway", password, name="bench", frames=True) as bus,
        httpx.AsyncClient(base_url=system.running.url, timeout=20, trust_env=False) as web,
    ):
        await bus.follow(Result.subject_for("gateway", "*"), Result, heard)
        key = await office.ask(CreateKey(name="bench", by="bench"))
        web.headers["Authorization"] = f"Bearer bce-v3/{key.key.api_key}/{key.secret_key.get_secret_value()}"
        face = {"image_type": "BASE64", "group_id": "g", "group_id_list": "g", "user_id": "u"}
        await called(web, "/faceset/user/add", {**face, "image": registered})
        await called(web, "/search", {**face, "image": probe})
        idle = processor(system)
        await asyncio.sleep(IDLE_S)
        before, began = processor(system), time.perf_counter()
        wall = [await called(web, "/search", {**face, "image": each}) for each in probes]
        after, lasted = processor(system), time.perf_counter() - began
    show(wall, took[-len(wall) :], prepared(probe))
    at_rest = {name: (before[name] - idle[name]) / IDLE_S * lasted for name in after}
    show_processor({name: (after[name] - before[name] - at_rest[name]) / calls for name in after})


async def called(web: httpx.AsyncClient, path: str, sent: dict[str, str]) -> float:
    """Milliseconds of a call that succeeds."""
    began = time.perf_counter()
    answer = (await web.post(API + path, json=sent)).json()
    if answer["error_code"]:
        raise SystemExit(f"{path}: {answer}")
    return (time.perf_counter() - began) * 1000


def processor(system: System) -> dict[str, float]:
    """Milliseconds of processor time so far, by part."""
    pids = {name: child.process.pid for name, child in system.children.items() if child.process}
    assert system.broker.process
    recognizer = pids.pop("recognizer-1")
    vision = sum(spent(recognizer, thread) for thread in threads(recognizer) if thread != recognizer)
    return {
        "vision and index": vision,
        "recognizer, the rest": spent(recognizer, recognizer),
        "nats-server": whole(system.broker.process.pid),
        **{name: whole(pid) for name, pid in pids.items()},
    }


def whole(pid: int) -> float:
    return sum(spent(pid, thread) for thread in threads(pid))


def threads(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path(f"/proc/{pid}/task").iterdir()]


def spent(pid: int, thread: int) -> float:
    user, kernel = Path(f"/proc/{pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(kernel)) * 1000 / os.sysconf("SC_CLK_TCK")


def show_processor(each: dict[str, float]) -> None:
    print("processor time of a call:")
    for name, value in each.items():
        print(f"  {name:42}{value:8.2f} ms")
    print(f"  vision and index: {each['vision and index'] / sum(each.values()):.1%}")


def prepared(image: str) -> float:
    """Milliseconds that the gateway needs for the picture itself; the fastest of 20."""

    def once() -> float:
        began = time.perf_counter()
        data = decoded(image)
        inspect(data)
        return (time.perf_counter() - began) * 1000

    return min(once() for _ in range(20))


def show(wall: list[float], took: list[float], picture: float) -> None:
    between = [whole - vision for whole, vision in zip(wall, took, strict=True)]
    rows = {
        "whole call, at the program": statistics.median(wall),
        "recognizer: decode, detect, embed, index": statistics.median(took),
        "gateway: the picture": picture,
        "the way (HTTP, JSON, broker)": statistics.median(between) - picture,
    }
    for name, value in rows.items():
        print(f"{name:44}{value:8.1f} ms")
    vision = sum(took) / sum(wall)
    with_picture = vision + picture * len(wall) / sum(wall)
    print(f"vision and index: {vision:.1%} of the time; with the gateway's picture {with_picture:.1%}")
    print(f"fastest call {min(wall):.1f} ms, least between {min(between):.1f} ms, over {len(wall)} calls")


if __name__ == "__main__":
    asyncio.run(main())
