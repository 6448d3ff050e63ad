"""What operators are told of the gateway: frames, streams, requests by route."""

import time
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.bus.metrics import watch_bus
from shared.metrics import WAIT_S, Metrics

if TYPE_CHECKING:
    from gateway.gateway import Gateway

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
ELSEWHERE: Final = "elsewhere"
"""the route of an address that the gateway does not have"""


def watch_gateway(metrics: Metrics, gateway: "Gateway") -> None:
    """Tell of the gateway for as long as it runs."""
    frames, slots = gateway.frames, gateway.frames.slots
    counts = slots.counts
    watch_bus(metrics, gateway.bus, frames.bus)
    metrics.read_total("rollcall_frames_received", "Frames that came from sources", lambda: counts.arrived)
    metrics.read_total(
        "rollcall_frames_replaced", "Frames that a newer one of their source replaced before its result came",
        lambda: counts.replaced,
    )  # fmt: skip
    metrics.read_total("rollcall_frames_served", "Frames handed to a recognizer", lambda: counts.handed_out)
    metrics.read_total("rollcall_frames_answered", "Results that came back", lambda: counts.answered)
    metrics.read("rollcall_sources", "Sources that have a slot now", lambda: len(slots))
    metrics.read("rollcall_streams", "Streams and walls that are open now", lambda: gateway.open_streams)
    metrics.read("rollcall_recognizers", "Recognizers that said lately that they live", gateway.indexes.alive)
    waits = metrics.histogram(
        "rollcall_turn_wait_seconds", "From asking for a turn to handing the frame out", bounds=WAIT_S
    )
    answers = metrics.histogram(
        "rollcall_frame_answer_seconds", "From a frame's arrival to its result, at the gateway", bounds=WAIT_S
    )
    slots.waited, frames.answered = waits.observe, answers.observe


class CountRequests:
    """Counts HTTP requests by their route's template: an address itself may hold a student's number."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._requests = metrics.counter(
            "rollcall_http_requests", "Requests answered, by route template", "method", "route", "status"
        )
        self._seconds = metrics.histogram(
            "rollcall_http_request_seconds", "From a request's head to its answer's end", "route", bounds=WAIT_S
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            self._count(scope, status, time.perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        # What is mounted (/static) has no route of its own: the mount is its root path.
        route = getattr(scope.get("route"), "path", scope.get("root_path") or ELSEWHERE)
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
