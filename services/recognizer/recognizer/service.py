"""The recognizer as one context manager: engine, library, workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from recognizer.engines import Engine
from recognizer.engines.local import local_engine
from recognizer.library import Library
from recognizer.settings import RecognizerSettings
from recognizer.worker import Worker
from shared.bus import Bus, connect
from shared.health import Health
from shared.runtime import background, serve_http


@asynccontextmanager
async def service(settings: RecognizerSettings) -> AsyncIterator[Engine]:
    """Run a recognizer while inside. It takes no turn before its library is complete."""
    password = settings.nats_password.get_secret_value()
    name = f"recognizer {settings.instance}"
    async with (
        local_engine(settings) as engine,
        connect(settings.nats_url, "recognizer", password, name=name) as events,
        connect(settings.nats_url, "recognizer", password, name=f"{name} frames", frames=True) as frames,
    ):
        library = Library(events, engine, settings.instance)
        await library.load()
        worker = Worker(events, frames, engine)
        loops = [worker.run() for _ in range(settings.look_ahead)]
        async with (
            background(library.follow(), library.say_alive(), *loops),
            serve_http(_health(events, frames), settings.health_host, settings.health_port),
        ):
            yield engine


def _health(events: Bus, frames: Bus) -> Health:
    health = Health("recognizer")
    health.add("broker", events.ready)
    health.add("frames", frames.ready)
    return health
