"""The camera at the door: always the newest picture, from whatever there is, opened again when it is gone.

    0, 1, /dev/video0, /dev/v4l/…    a camera of this machine (V4L2)
    rtsp://…, http://…               a camera on the network
    a video file                     at its own pace
    a folder                         its pictures, one after another

One thread reads, because reading waits; the newest picture lies in one place, and an unread one is overwritten.
"""

import asyncio
import contextlib
import os
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, Protocol
from urllib.parse import urlsplit

# Before OpenCV is loaded: its own complaints about cameras go nowhere useful, ours are sentences.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np
from numpy.typing import NDArray

from shared.errors import InvalidInput
from shared.vision.picture import MAX_PIXELS, decode
from terminal.backoff import Backoff

Pixels = NDArray[np.uint8]
"""H×W×3 bytes, BGR"""

SIDE: Final = 640
"""pixels of the longer side that is worked with and sent; a door needs no more"""
FPS: Final = 15.0
"""pictures a second that are taken out of a live camera; what comes faster is passed over undecoded"""
OPEN_MS, READ_MS = 5_000, 5_000
"""how long a network camera may take to answer, and to give its next picture, in milliseconds"""
LONGEST_WAIT_S: Final = 10.0
"""between two tries to open a camera that is gone"""
MISSED: Final = 10
"""reads in a row that may fail before the camera counts as gone"""
SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
MAX_FILES: Final = 10_000
"""pictures that are taken from a folder"""
NETWORK: Final = ("rtsp", "rtsps", "http", "https")
JPEG_BYTES: Final = 400_000
"""of one picture that is sent; the server takes a million"""


class CameraError(Exception):
    """The camera gives no pictures. The message is one sentence for people, without passwords."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the camera saw at `at` (monotonic seconds)."""

    pixels: Pixels
    at: float


class Source(Protocol):
    """An open camera. For one thread."""

    def read(self) -> Pixels | None:
        """The next picture, when it is time for it; None: this was the last one. Raises CameraError."""

    def close(self) -> None:
        """Let it go."""


Opener = Callable[[threading.Event], Source]
"""Opens a source, which waits on the event rather than sleep. Raises CameraError."""


def opener(address: str, *, loop: bool = True, seconds_each: float = 2.0) -> Opener:
    """How to open the camera of this address; nothing is opened yet. `loop`: a film or a folder begins again at its
    end. `seconds_each`: how long each picture of a folder is shown."""
    if urlsplit(address).scheme in NETWORK:
        return lambda stop: Live(address, without_password(address), cv2.CAP_FFMPEG, stop)
    if address.isdecimal() or address.startswith("/dev/"):
        device = f"/dev/video{address}" if address.isdecimal() else address
        return lambda stop: _local_camera(device, stop)
    path = Path(address)

    def open_path(stop: threading.Event) -> Source:
        if path.is_dir():
            return Folder(path, seconds_each, stop, loop=loop)
        if path.is_file():
            return Film(path, stop, loop=loop)
        raise CameraError(f"There is no camera, film or folder {path}")

    return open_path


def without_password(address: str) -> str:
    """The address as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", address)


# ---- sources


def _local_camera(device: str, stop: threading.Event) -> Source:
    if not Path(device).exists():
        raise CameraError(f"There is no camera {device}; is it plugged in?")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CameraError(f"No right to use {device}: add the user to its group, mostly video")
    number = re.fullmatch(r"/dev/video(\d+)", str(Path(device).resolve()))  # /dev/v4l/by-id/… are links to these
    return Live(int(number[1]) if number else device, device, cv2.CAP_V4L2, stop)


def _open(address: str | int, shown: str, backend: int) -> cv2.VideoCapture:
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_MS]
    capture = cv2.VideoCapture(address, backend, limits if backend == cv2.CAP_FFMPEG else [])
    if not capture.isOpened():
        capture.release()
        raise CameraError(f"{shown} gives no pictures: it does not answer, or is none that can be read")
    width, height = (capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > MAX_PIXELS:
        capture.release()
        raise CameraError(f"{shown}: {width:.0f}×{height:.0f} is more than {MAX_PIXELS / 1e6:.0f} megapixels")
    return capture


class Live:
    """A camera that goes on whether it is read or not, so that it is read all the time."""

    def __init__(self, address: str | int, shown: str, backend: int, stop: threading.Event) -> None:
        self._shown, self._stop = shown, stop
        self._capture = _open(address, shown, backend)
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._next_at = 0.0

    def read(self) -> Pixels | None:
        missed = 0
        while not self._stop.is_set():
            if not self._capture.grab():
                missed += 1
                if missed >= MISSED:
                    raise CameraError(f"{self._shown} gives no pictures any more")
                self._stop.wait(0.05)
                continue
            missed = 0
            at = time.monotonic()
            if at < self._next_at:
                continue
            is_whole, pixels = self._capture.retrieve()
            if is_whole:
                self._next_at = at + 1 / FPS
                return np.asarray(pixels, np.uint8)
        return None

    def close(self) -> None:
        self._capture.release()


class Film:
    """A video file at its own pace."""

    def __init__(self, path: Path, stop: threading.Event, *, loop: bool) -> None:
        self._path, self._stop, self._loop = path, stop, loop
        self._capture = _open(str(path), str(path), cv2.CAP_FFMPEG)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self._period = 1 / fps if 1 <= fps <= 240 else 1 / FPS
        self._next_at = time.monotonic()
        self._any = False

    def read(self) -> Pixels | None:
        self._stop.wait(max(0.0, self._next_at - time.monotonic()))
        self._next_at = max(self._next_at + self._period, time.monotonic() - 1)
        is_there, pixels = self._capture.read()
        if not is_there and self._any and self._loop:
            self._capture.release()
            self._capture = _open(str(self._path), str(self._path), cv2.CAP_FFMPEG)
            is_there, pixels = self._capture.read()
        if not is_there and not self._any:
            raise CameraError(f"{self._path} holds no picture")
        self._any = True
        return np.asarray(pixels, np.uint8) if is_there else None

    def close(self) -> None:
        self._capture.release()


class Folder:
    """The pictures of a folder by name, each for a while, as a film of ten pictures a second. Each time it begins, it
    looks again which there are."""

    PERIOD_S: Final = 0.1

    def __init__(self, path: Path, seconds_each: float, stop: threading.Event, *, loop: bool) -> None:
        self._path, self._each, self._stop, self._loop = path, seconds_each, stop, loop
        self._files = self._listed()
        self._until, self._next_at = 0.0, time.monotonic()
        self._shown: Pixels | None = None

    def _listed(self) -> list[Path]:
        try:
            found = sorted(file for file in self._path.iterdir() if file.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise CameraError(f"The folder {self._path} cannot be read: {error.strerror}") from None
        if not found:
            raise CameraError(f"There are no pictures in the folder {self._path}")
        return found[:MAX_FILES]

    def read(self) -> Pixels | None:
        self._stop.wait(max(0.0, self._next_at - time.monotonic()))
        self._next_at = at = time.monotonic()
        self._next_at += min(self.PERIOD_S, self._each)
        if at >= self._until:
            if not self._files:
                if not self._loop:
                    return None
                self._files = self._listed()
            self._shown, self._until = self._decoded(self._files.pop(0)), at + self._each
        return self._shown

    def _decoded(self, file: Path) -> Pixels:
        try:
            return decode(file.read_bytes())
        except OSError as error:
            raise CameraError(f"{file} cannot be read: {error.strerror}") from None
        except InvalidInput as error:
            raise CameraError(f"{file}: {error.en}") from None

    def close(self) -> None:
        pass


# ---- the camera


class Camera:
    """Pictures of a source, the newest only, on the event loop."""

    def __init__(self, open_source: Opener, tell: Callable[[str], None], side: int = SIDE) -> None:
        """`tell` hears, on the event loop, why there are no pictures, and an empty text when there are again."""
        self._open_source, self._tell, self._side = open_source, tell, side
        self._stop = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._newest: Picture | None = None
        self._news = asyncio.Event()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._read, name="camera", daemon=True)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Camera"]:
        """Read while inside."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            # A network camera may hold a read for READ_MS; the thread is no reason to wait longer.
            await asyncio.to_thread(self._thread.join, READ_MS / 1000 + 1)

    async def next(self) -> Picture:
        """The newest picture that was not given yet; waits until there is one."""
        while self._newest is None:
            self._news.clear()
            await self._news.wait()
        picture, self._newest = self._newest, None
        return picture

    async def over(self) -> None:
        """Waits until a film that does not begin again has come to its end."""
        await self._over.wait()

    def _put(self, picture: Picture) -> None:
        self._newest = picture
        self._news.set()

    # Everything below runs in the thread.

    def _read(self) -> None:
        backoff = Backoff(Random(), longest_s=LONGEST_WAIT_S)  # noqa: S311 - jitter, no secret
        gone = False
        while not self._stop.is_set():
            try:
                source = self._open_source(self._stop)
                with contextlib.closing(source):
                    while not self._stop.is_set():
                        pixels = source.read()
                        if pixels is None:
                            return self._call(self._over.set)
                        picture = Picture(shrunk(pixels, self._side), time.monotonic())
                        if gone:
                            self._call(self._tell, "")
                        gone = False
                        self._call(self._put, picture)
                        backoff.worked()
            except Exception as error:  # a driver's fault too: it is told, and the camera opened again
                words = str(error) if isinstance(error, CameraError) else f"{type(error).__name__}: {error}"
                self._call(self._tell, words)
                gone = True
                self._stop.wait(backoff.again())
        return None

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are the last
            self._loop.call_soon_threadsafe(function, *arguments)


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """With its longer side at most `side`. Raises CameraError for what is no picture in colours."""
    if pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise CameraError("The camera gives pictures that are not in colours")
    scale = side / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg(pixels: Pixels, max_bytes: int = JPEG_BYTES) -> bytes:
    """As a JPEG of at most so many bytes: coarser if need be, then smaller. Raises CameraError."""
    while True:
        for quality in (88, 75, 60, 45):
            done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
            if done and len(data) <= max_bytes:
                return data.tobytes()
        if max(pixels.shape[:2]) < 64:
            raise CameraError(f"No picture fits into {max_bytes} bytes")
        pixels = shrunk(pixels, max(pixels.shape[:2]) * 3 // 4)
