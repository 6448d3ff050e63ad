"""The web app: routes, static files, error pages, and what surrounds every request."""

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.baidu_api.routes import face_api
from gateway.body_limit import BodyLimit
from gateway.headers import HeadAsGet, SecurityHeaders
from gateway.live import live_pages
from gateway.metrics import CountRequests
from gateway.mishaps import LastResort, error_handlers
from gateway.office import office_pages
from gateway.pages import kiosk_pages
from gateway.policies import open_to_all
from gateway.rest import rest_api
from gateway.site import Site, TheSite
from gateway.streams import stream_api
from gateway.terminal_api.routes import terminal_api
from gateway.throttle import Rates
from shared.metrics import Metrics

if TYPE_CHECKING:
    from gateway.gateway import Gateway


def create_app(gateway: "Gateway", rates: Rates | None = None, metrics: Metrics | None = None) -> FastAPI:
    """The gateway's ASGI app; `app.state.gateway` and `app.state.site` are for its routes. Requests are counted
    in `metrics`."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, exception_handlers=error_handlers())
    app.state.gateway = gateway
    app.state.site = site = Site(gateway, rates or Rates())
    app.include_router(face_api(gateway.face_api))  # first: programs call more often than people
    for router in (kiosk_pages(), live_pages(), office_pages(), health_pages()):
        app.include_router(router)
    # A terminal shows its token in the hello, a page its origin: the stream checks both itself.
    app.include_router(stream_api(gateway), dependencies=[Depends(open_to_all)])
    app.include_router(terminal_api(gateway))
    app.include_router(rest_api(gateway.bus))
    app.mount("/static", site.statics, name="static")
    if metrics is not None:
        app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(LastResort)
    app.add_middleware(BodyLimit, total=gateway.settings.max_bodies_mib * 2**20)
    app.add_middleware(HeadAsGet)
    app.add_middleware(SecurityHeaders, https=gateway.settings.secure_cookies)  # the outermost
    return app


def health_pages() -> APIRouter:
    """/healthz and /readyz, for supervisors."""
    router = APIRouter(dependencies=[Depends(open_to_all)])
    for path in ("/healthz", "/readyz"):
        router.add_api_route(path, health, methods=["GET"])
    return router


async def health(request: Request, site: TheSite) -> Response:
    """What the gateway's resources say of themselves."""
    status, body = await site.gateway.health.answer(request.url.path)
    return Response(body, status, {"Cache-Control": "no-store"}, "application/json")
