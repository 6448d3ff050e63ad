"""Terminals: which may connect; and the link for a hall's screen."""

from collections.abc import Mapping

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.office.paging import Pager, page_number
from gateway.policies import WALL_TICKET, PostedForm, office_session
from gateway.sessions import Flash
from gateway.site import Site, TheSite
from shared.contracts.devices import AddDevice, Device, ListDevices, RemoveDevice
from shared.errors import Conflict, InvalidInput, NotFound
from shared.security import make_ticket

LIST = "/office/devices"
BY = "office"
ROWS = 100
CHUNK = 2_000
WALL_S = 90 * 86_400
"""How long a hall's screen may show the wall with one link, in seconds: a school term."""


def device_pages() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/devices", dependencies=[Depends(office_session)])
    router.add_api_route("", devices, methods=["GET"])
    router.add_api_route("", add, methods=["POST"])
    router.add_api_route("/wall", wall_link, methods=["POST"])
    router.add_api_route("/{device_id}/remove", remove_page, methods=["GET"])
    router.add_api_route("/{device_id}/remove", remove, methods=["POST"])
    return router


async def devices(request: Request, site: TheSite) -> Response:
    """A page of terminals, and a form for a new one."""
    return await _list(request, site)


async def _list(
    request: Request,
    site: Site,
    status: int = 200,
    typed: Mapping[str, str] | None = None,
    problem: str = "",
    wall: str = "",
) -> Response:
    shown = {name: (typed or {}).get(name, "") for name in ("name", "sn")}
    page = page_number(request.query_params.get("page", ""))
    offset = (page - 1) * ROWS
    found = await _some(site, offset, ROWS + 1)  # one more than is shown tells whether there is another page
    pager = Pager(page, ROWS, offset + len(found), {})
    return site.form_page(
        request, "devices.html", status, devices=found[:ROWS], pager=pager, typed=shown, problem=problem, wall=wall
    )


async def _some(site: Site, offset: int, limit: int) -> tuple[Device, ...]:
    found = await site.gateway.bus.ask(ListDevices(offset=offset, limit=limit))
    return found.devices


async def add(request: Request, site: TheSite, form: PostedForm) -> Response:
    """Authorise a terminal."""
    words = site.words(request)
    try:
        device = await site.gateway.bus.ask(AddDevice(name=form.get("name", ""), sn=form.get("sn", ""), by=BY))
    except ValidationError:
        return await _list(request, site, 400, form, words("devices.wrong"))
    except (Conflict, InvalidInput) as error:
        return await _list(request, site, status=400, typed=form, problem=words.of(error))
    return site.redirect(LIST, Flash(words("devices.added", name=device.name)))


async def wall_link(request: Request, site: TheSite, form: PostedForm) -> Response:
    """A link that shows the live wall without a login."""
    ticket = make_ticket(site.secret, WALL_TICKET, WALL_S)
    return await _list(request, site, wall=str(request.url.replace(path="/live", query=f"ticket={ticket}")))


async def remove_page(request: Request, site: TheSite, device_id: int) -> Response:
    """Asks whether it is meant."""
    device = await _device(site, device_id)
    return site.form_page(request, "device_remove.html", device=device)


async def _device(site: Site, device_id: int) -> Device:
    """The terminal of this id. Raises NotFound."""
    offset = 0
    while found := await _some(site, offset, CHUNK):
        for device in found:
            if device.device_id == device_id:
                return device
        offset += CHUNK
    raise NotFound("没有这台设备", "There is no such device")


async def remove(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Take a terminal's right to connect away."""
    device = await _device(site, device_id)
    await site.gateway.bus.ask(RemoveDevice(device_id=device_id, by=BY))
    return site.redirect(LIST, Flash(site.words(request)("devices.removed", name=device.name)))
