"""The recognizer as one context manager: engine, library, workers, and the cloud if there is one."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from recognizer.cloud import CloudDesk
from recognizer.engines import Engine
from recognizer.engines.baidu import BaiduEngine
from recognizer.engines.local import local_engine
from recognizer.library import Library
from recognizer.remeasuring import Remeasuring
from recognizer.settings import RecognizerSettings
from recognizer.worker import Worker
from shared.baidu.client import open_cloud
from shared.bus import Bus, connect
from shared.contracts.recognition import BAIDU
from shared.health import Health
from shared.runtime import background, serve_http


@asynccontextmanager
async def service(settings: RecognizerSettings) -> AsyncIterator[Engine]:
    """Run a recognizer while inside. It takes no turn before its library is complete."""
    password = settings.nats_password.get_secret_value()
    name = f"recognizer {settings.instance}"
    async with (
        local_engine(settings) as local,
        connect(settings.nats_url, "recognizer", password, name=name, replicas=settings.nats_replicas) as events,
        connect(settings.nats_url, "recognizer", password, name=f"{name} frames", frames=True) as frames,
        AsyncExitStack() as stack,
    ):
        engine: Engine = local
        jobs: list[Callable[[], Coroutine[Any, Any, None]]] = []
        if settings.engine == BAIDU:
            cloud = await stack.enter_async_context(open_cloud(settings.cloud))
            engine = BaiduEngine(settings, local, cloud)
            desk = CloudDesk(events, cloud, settings.baidu_group)
            await desk.serve()
            jobs.append(desk.follow)
        library = Library(events, engine, settings.instance)
        await library.load()
        await Remeasuring(events, local).serve()
        worker = Worker(events, frames, engine)
        jobs += [worker.run] * settings.turns
        async with (
            background(library.follow(), library.say_alive(), *(job() for job in jobs)),
            serve_http(_health(events, frames), settings.health_host, settings.health_port),
        ):
            yield engine


def _health(events: Bus, frames: Bus) -> Health:
    health = Health("recognizer")
    health.add("broker", events.ready)
    health.add("frames", frames.ready)
    return health
