"""The recognizer as one context manager: engine, library, workers, and the cloud if there is one."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from recognizer.cloud import CloudDesk
from recognizer.engines import Engine
from recognizer.engines.baidu import BaiduEngine
from recognizer.engines.local import local_engine
from recognizer.library import Library
from recognizer.metrics import Tally, watch_recognizer
from recognizer.remeasuring import Remeasuring
from recognizer.settings import RecognizerSettings
from recognizer.worker import Worker
from shared.admin import serve_admin
from shared.baidu.client import open_cloud
from shared.bus import connect
from shared.contracts.recognition import BAIDU
from shared.health import Health
from shared.metrics import Metrics
from shared.runtime import background


@asynccontextmanager
async def service(settings: RecognizerSettings) -> AsyncIterator[Engine]:
    """Run a recognizer while inside. It takes no turn before its library is complete."""
    password = settings.nats_password.get_secret_value()
    name = f"recognizer {settings.instance}"
    health = Health("recognizer", "broker", "frames", "engine", "library")
    metrics = Metrics("recognizer", settings.instance)
    tally = Tally(metrics)
    async with (
        serve_admin(settings, health, metrics),
        local_engine(settings, tally.stage) as local,
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
        watch_recognizer(metrics, events, frames, engine, library)
        health.add("broker", events.ready)
        health.add("frames", frames.ready)
        health.add("engine", engine.ready)
        await library.load()
        await Remeasuring(events, local).serve()
        health.add("library", library.ready)
        worker = Worker(events, frames, engine, tally)
        jobs += [worker.run] * settings.turns
        async with background(library.follow(), library.say_alive(), *(job() for job in jobs)):
            yield engine
