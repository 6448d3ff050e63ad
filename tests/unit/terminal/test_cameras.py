"""Cameras: a film, a folder, the network, what is wrong with them, and that they come back."""

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from shared.testing import eventually
from terminal.cameras import (
    Camera,
    CameraError,
    Film,
    Folder,
    Pixels,
    jpeg,
    opener,
    shrunk,
    without_password,
)


def grey(level: int, width: int = 64, height: int = 48) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)


def film(path: Path, levels: list[int], fps: float = 20) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (64, 48))
    for level in levels:
        writer.write(grey(level))
    writer.release()
    return path


def picture(folder: Path, name: str, level: int) -> None:
    folder.mkdir(exist_ok=True)
    Image.fromarray(grey(level)).save(folder / name)


@asynccontextmanager
async def camera(address: str, **how: object) -> AsyncIterator[tuple[Camera, list[str]]]:
    told: list[str] = []
    it = Camera(opener(address, **how), told.append)  # type: ignore[arg-type]
    async with it.open():
        yield it, told


async def level(it: Camera) -> int:
    return round(float((await it.next()).pixels.mean()))


def test_a_film_has_its_own_pace_and_an_end(tmp_path: Path) -> None:
    source = Film(film(tmp_path / "a.avi", [0, 60, 120, 180, 240]), threading.Event(), loop=False)
    began = time.monotonic()
    levels = []
    while (pixels := source.read()) is not None:
        levels.append(round(float(pixels.mean())))
    assert time.monotonic() - began >= 4 / 20
    assert levels == pytest.approx([0, 60, 120, 180, 240], abs=3)
    source.close()


def test_a_film_begins_again(tmp_path: Path) -> None:
    source = Film(film(tmp_path / "a.avi", [0, 240], fps=100), threading.Event(), loop=True)
    levels = [round(float(pixels.mean())) for pixels in (source.read() for _ in range(5)) if pixels is not None]
    assert levels == pytest.approx([0, 240, 0, 240, 0], abs=3)
    source.close()


def test_a_folder_shows_its_pictures_by_name_and_looks_again(tmp_path: Path) -> None:
    picture(tmp_path / "f", "b.png", 200)
    picture(tmp_path / "f", "a.png", 100)
    (tmp_path / "f" / "notes.txt").write_text("x")
    source = Folder(tmp_path / "f", 0.01, threading.Event(), loop=True)

    def levels(count: int) -> list[int]:
        return [round(float(pixels.mean())) for pixels in (source.read() for _ in range(count)) if pixels is not None]

    assert levels(2) == [100, 200]
    (tmp_path / "f" / "a.png").unlink()
    assert levels(2) == [200, 200]


def test_a_folder_that_does_not_begin_again(tmp_path: Path) -> None:
    picture(tmp_path / "f", "a.png", 100)
    source = Folder(tmp_path / "f", 0.01, threading.Event(), loop=False)
    assert source.read() is not None
    assert source.read() is None


async def test_the_newest_picture_wins_and_is_given_once(tmp_path: Path) -> None:
    async with camera(str(film(tmp_path / "a.avi", [10, 20, 30, 250], fps=100)), loop=False) as (it, told):
        await it.over()
        assert await level(it) == pytest.approx(250, abs=3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await it.next()
    assert told == []


async def test_a_camera_that_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    async with camera(str(folder), seconds_each=0.05) as (it, told):

        async def is_missed() -> bool:
            return bool(told)

        await eventually(is_missed)
        assert told[0] == f"There is no camera, film or folder {folder}"
        picture(tmp_path / "g", "a.png", 70)
        (tmp_path / "g").rename(folder)
        assert await level(it) == 70
        assert told[-1] == ""
        (folder / "a.png").unlink()

        async def is_missed_again() -> bool:
            return told[-1] == f"There are no pictures in the folder {folder}"

        await eventually(is_missed_again)
        picture(folder, "b.png", 80)
        while await level(it) != 80:  # one of before may wait
            pass


async def mjpeg(port_of: asyncio.Future[int], stop: asyncio.Event) -> None:
    """An HTTP camera: JPEG after JPEG, as most of them send."""
    out = io.BytesIO()
    Image.fromarray(grey(150, 320, 240)).save(out, "JPEG")
    frame = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (out.tell(), out.getvalue())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n")
        try:
            while not stop.is_set():
                writer.write(frame)
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port_of.set_result(server.sockets[0].getsockname()[1])
        await stop.wait()


async def test_a_camera_on_the_network_and_its_end() -> None:
    port, stop = asyncio.get_running_loop().create_future(), asyncio.Event()
    serving = asyncio.create_task(mjpeg(port, stop))
    async with camera(f"http://admin:hush@127.0.0.1:{await port}/video") as (it, told):
        async with asyncio.timeout(20):
            assert await level(it) == pytest.approx(150, abs=3)
        stop.set()

        async def is_missed() -> bool:
            return bool(told)

        await eventually(is_missed, 20)
        assert "gives no pictures" in told[0]
        assert "hush" not in "".join(told)
    await serving


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("/dev/video97", "There is no camera /dev/video97; is it plugged in?"),
        ("97", "There is no camera /dev/video97; is it plugged in?"),
        ("rtsp://u:p@127.0.0.1:1/x", "rtsp://127.0.0.1:1/x gives no pictures"),
        ("nowhere.mp4", "There is no camera, film or folder nowhere.mp4"),
    ],
)
def test_what_is_wrong_is_said_without_passwords(address: str, words: str) -> None:
    with pytest.raises(CameraError, match="^" + words.replace("?", r"\?")):
        opener(address)(threading.Event())


def test_a_file_that_is_no_film(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"rubbish" * 100)
    with pytest.raises(CameraError, match=r"a\.mp4 gives no pictures"):
        opener(str(tmp_path / "a.mp4"))(threading.Event())


def test_a_picture_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"rubbish")
    with pytest.raises(CameraError, match=r"a\.jpg: This is not a picture"):
        opener(str(tmp_path))(threading.Event()).read()


def test_passwords_are_not_shown() -> None:
    assert without_password("rtsp://u:p@h/x?a=b@c") == "rtsp://h/x?a=b@c"


def test_large_pictures_are_shrunk_and_others_left() -> None:
    assert shrunk(grey(9, 1280, 720), 640).shape == (360, 640, 3)
    assert shrunk(grey(9, 64, 48), 640).shape == (48, 64, 3)
    with pytest.raises(CameraError, match="not in colours"):
        shrunk(np.zeros((48, 64), np.uint8), 640)


def test_a_jpeg_has_a_bounded_size() -> None:
    noise = np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8)
    assert len(jpeg(noise)) <= 400_000
    small = jpeg(noise, 20_000)
    assert len(small) <= 20_000
    assert Image.open(io.BytesIO(small)).format == "JPEG"
    with pytest.raises(CameraError, match="fits into"):
        jpeg(noise, 100)
