"""Real Chromium, driven by Playwright, with a fake camera that plays photographs."""

import io
import shutil
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from PIL import Image
from playwright.async_api import BrowserContext, Page, async_playwright

from terminal.simulator import letterbox
from tests.conftest import require_real

CAMERA = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """The browser's path; without one the test is skipped, and fails in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    mac = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    if not mac.exists():
        require_real("no Chromium: apt-get install chromium")
    return str(mac)


def camera_film(path: Path, pictures: Iterable[bytes], frames_each: int = 30) -> Path:
    """A Motion-JPEG file for Chromium's fake camera: JPEGs one after another, played in a loop."""
    film = b"".join(letterbox(picture) * frames_each for picture in pictures)
    path.write_bytes(film)
    return path


@asynccontextmanager
async def browser(
    film: Path | None, *, locale: str = "zh-CN", any_certificate: bool = False
) -> AsyncIterator[BrowserContext]:
    """A new browser whose camera plays `film`; None: a machine without a camera."""
    camera = [*CAMERA, f"--use-file-for-fake-video-capture={film}"] if film else []
    executable = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable, args=[*QUIET, *camera])
        context = await running.new_context(
            locale=locale, viewport={"width": 1280, "height": 800}, ignore_https_errors=any_certificate
        )
        if film:
            await context.grant_permissions(["camera"])
        try:
            yield context
        finally:
            await running.close()


@asynccontextmanager
async def watched(context: BrowserContext) -> AsyncIterator[Page]:
    """A page whose console errors and policy violations fail the test."""
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


def average_brightness(png: bytes) -> float:
    """0 black to 255: a screenshot of a camera that does not play is black."""
    with Image.open(io.BytesIO(png)) as picture:
        grey = picture.convert("L")
        return sum(level * count for level, count in enumerate(grey.histogram())) / (grey.width * grey.height)
