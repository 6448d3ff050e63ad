"""Terminals: those that ask to be let in, those that may connect; and the link for a hall's screen."""

import base64
from collections.abc import Iterable, Mapping
from functools import partial

from fastapi import APIRouter, Depends
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from gateway.office.paging import Pager, page_number
from gateway.policies import WALL_TICKET, PostedForm, office_session
from gateway.sessions import Flash
from gateway.site import Site, TheSite
from gateway.words import Words
from shared.contracts.device_log import deed_of
from shared.contracts.devices import (
    AddDevice,
    AuthoriseDevice,
    Device,
    DeviceConfig,
    EditDevice,
    GetDevice,
    GetDeviceLog,
    IssuedSecret,
    ListDevices,
    Proof,
    RemoveDevice,
    RemovePending,
    RenewSecret,
    SuspendDevice,
)
from shared.contracts.hubs import Presence
from shared.contracts.people import FindStudents
from shared.contracts.terminals import (
    MAX_SNAPSHOT,
    OpenDoor,
    Order,
    OrderOutcome,
    ReloadConfig,
    Restart,
    ShowMessage,
    TakeSnapshot,
    TerminalOrder,
    UpdateFaces,
)
from shared.errors import Conflict, Gone, InvalidInput, Unavailable
from shared.security import make_ticket
from shared.vision.picture import Bounds, PictureError, inspect

LIST = "/office/devices"
BY = "office"
ROWS = 100
LOG = 50
TEXT = 64
REASON = 128
MESSAGE = 128
SNAPSHOT = Bounds(max_bytes=MAX_SNAPSHOT, max_pixels=4_000_000)
"""what a browser is given of a picture that a terminal took"""
WALL_S = 90 * 86_400
"""How long a hall's screen may show the wall with one link, in seconds: a school term."""


def device_pages() -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/devices", dependencies=[Depends(office_session)])
    router.add_api_route("", devices, methods=["GET"])
    router.add_api_route("", add, methods=["POST"])
    router.add_api_route("/wall", wall_link, methods=["POST"])
    router.add_api_route("/pending/remove", remove_pending_page, methods=["GET"])
    router.add_api_route("/pending/remove", remove_pending, methods=["POST"])
    router.add_api_route("/{device_id}", device_page, methods=["GET"])
    router.add_api_route("/{device_id}", edit, methods=["POST"])
    router.add_api_route("/{device_id}/authorise", authorise, methods=["POST"])
    router.add_api_route("/{device_id}/suspend", suspend, methods=["POST"])
    router.add_api_route("/{device_id}/open", open_door, methods=["POST"])
    router.add_api_route("/{device_id}/snapshot", take_snapshot, methods=["POST"])
    router.add_api_route("/{device_id}/message", show_message, methods=["POST"])
    router.add_api_route("/{device_id}/faces", update_faces, methods=["POST"])
    router.add_api_route("/{device_id}/reload", reload_config, methods=["POST"])
    router.add_api_route("/{device_id}/restart", restart_page, methods=["GET"])
    router.add_api_route("/{device_id}/restart", restart, methods=["POST"])
    router.add_api_route("/{device_id}/secret", renew_secret, methods=["POST"])
    router.add_api_route("/{device_id}/remove", remove_page, methods=["GET"])
    router.add_api_route("/{device_id}/remove", remove, methods=["POST"])
    return router


# ---- the list


async def devices(request: Request, site: TheSite) -> Response:
    """A page of terminals, those that wait first, and a form for a new one."""
    return await _list(request, site)


async def _list(
    request: Request,
    site: Site,
    status: int = 200,
    typed: Mapping[str, str] | None = None,
    problem: str = "",
    wall: str = "",
) -> Response:
    shown = {name: (typed or {}).get(name, "") for name in ("name", "sn", "serial_only")}
    asked = {"text": request.query_params.get("text", "").strip()[:TEXT]}
    page = page_number(request.query_params.get("page", ""))
    found = await site.gateway.bus.ask(ListDevices(**asked, offset=(page - 1) * ROWS, limit=ROWS))
    pager = Pager(page, ROWS, found.total, asked)
    if page > pager.pages:
        return site.redirect(LIST + pager.link(pager.pages))
    return site.form_page(
        request,
        "devices.html",
        status,
        found=found,
        online=await _online(site, found.devices),
        asked=asked,
        pager=pager,
        typed=shown,
        problem=problem,
        wall=wall,
    )


async def _online(site: Site, devices: Iterable[Device]) -> Mapping[int, Presence] | None:
    """Those that are connected, by id; None if nobody can say. Only whom the office let in can be."""
    try:
        return await site.gateway.terminals.connected([device.device_id for device in devices if device.authorised])
    except Unavailable:
        return None


async def add(request: Request, site: TheSite, form: PostedForm) -> Response:
    """Authorise a terminal, and show its secret."""
    words = site.words(request)
    proof = Proof.SERIAL if form.get("serial_only") else Proof.SECRET
    try:
        issued = await site.gateway.bus.ask(
            AddDevice(name=form.get("name", ""), sn=form.get("sn", ""), proof=proof, by=BY)
        )
    except ValidationError:
        return await _list(request, site, 400, form, words("devices.wrong"))
    except (Conflict, InvalidInput) as error:
        return await _list(request, site, status=400, typed=form, problem=words.of(error))
    return await _let_in(request, site, issued)


async def remove_pending_page(request: Request, site: TheSite) -> Response:
    """Asks whether it is meant."""
    waiting = (await site.gateway.bus.ask(ListDevices(limit=1))).pending
    return _ask(request, site, "remove_pending", LIST, count=waiting)


async def remove_pending(request: Request, site: TheSite, form: PostedForm) -> Response:
    """Forget all terminals that wait."""
    gone = await site.gateway.bus.ask(RemovePending(by=BY))
    return site.redirect(LIST, Flash(site.words(request)("devices.removed_pending", count=gone.count)))


async def wall_link(request: Request, site: TheSite, form: PostedForm) -> Response:
    """A link that shows the live wall without a login."""
    ticket = make_ticket(site.secret, WALL_TICKET, WALL_S)
    return await _list(request, site, wall=str(request.url.replace(path="/live", query=f"ticket={ticket}")))


# ---- one terminal


async def device_page(request: Request, site: TheSite, device_id: int) -> Response:
    """One terminal, to look at and change, with what was done to it."""
    return await _one(request, site, await _device(site, device_id))


async def _device(site: Site, device_id: int) -> Device:
    """The terminal of this id. Raises NotFound."""
    return await site.gateway.bus.ask(GetDevice(device_id=device_id))


async def _one(
    request: Request,
    site: Site,
    device: Device,
    status: int = 200,
    typed: Mapping[str, str] | None = None,
    problem: str = "",
    secret: str = "",
    order_problem: str = "",
    snapshot: str = "",
) -> Response:
    log = await site.gateway.bus.ask(GetDeviceLog(device_id=device.device_id, limit=LOG))
    students = await site.gateway.bus.ask(FindStudents(limit=1))
    return site.form_page(
        request,
        "device.html",
        status,
        device=device,
        online=await _online(site, [device]),
        typed=typed or _as_typed(device),
        known=students.classes,
        log=log.entries,
        deed=partial(_deed, site.words(request)),
        problem=problem,
        order_problem=order_problem,
        snapshot=snapshot,
        secret=secret,
    )


def _deed(words: Words, action: str) -> str:
    """A line of the log in the reader's language; what we have no word for stands as it is."""
    deed, done = deed_of(action)
    said = words.get(f"devices.done_{deed.replace(' ', '_')}", deed)
    return said if done else f"{said} · {words('devices.not_done')}"


def _as_typed(device: Device) -> dict[str, str]:
    config = device.config
    return {
        "name": device.name,
        "place": device.place,
        "classes": "\n".join(device.classes),
        "tokens": device.tokens,
        "mode": config.mode,
        "open_ms": str(config.open_ms),
        "fill_light": config.fill_light,
        "volume": str(config.volume),
        "greeting": config.greeting,
    }


async def edit(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Name, place, classes, and what the terminal shall do."""
    device, words = await _device(site, device_id), site.words(request)
    try:
        changed = await site.gateway.bus.ask(_edited(device_id, form))
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][-1])
        return await _one(request, site, device, 400, form, words("devices.wrong_field", field=field))
    except (Conflict, InvalidInput) as error:
        return await _one(request, site, device, 400, form, words.of(error))
    return site.redirect(f"{LIST}/{device_id}", Flash(words("devices.saved", name=changed.name)))


def _edited(device_id: int, form: Mapping[str, str]) -> EditDevice:
    """Raises ValidationError."""
    classes = tuple(filter(None, map(str.strip, form.get("classes", "").splitlines())))
    wishes = {name: form[name] for name in ("mode", "open_ms", "fill_light", "volume", "greeting") if name in form}
    return EditDevice.model_validate(
        {
            "device_id": device_id,
            "name": form.get("name", ""),
            "place": form.get("place", ""),
            "tokens": form.get("tokens", ""),
            "classes": classes,
            "config": DeviceConfig.model_validate(wishes),
            "by": BY,
        }
    )


async def authorise(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Let it in, by the proof that was chosen, else by its own. The secret, if it gets one, is shown this once."""
    proof = Proof(form["proof"]) if form.get("proof") in tuple(Proof) else None
    issued = await site.gateway.bus.ask(AuthoriseDevice(device_id=device_id, proof=proof, by=BY))
    return await _let_in(request, site, issued)


async def renew_secret(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """A new secret, shown this once."""
    return await _let_in(request, site, await site.gateway.bus.ask(RenewSecret(device_id=device_id, by=BY)))


async def _let_in(request: Request, site: Site, issued: IssuedSecret) -> Response:
    """A secret is on this page only, in no address and no cookie; without one the list says what was done."""
    device, secret = issued.device, issued.secret.get_secret_value()
    if secret:
        return await _one(request, site, device, secret=secret)
    return site.redirect(LIST, Flash(site.words(request)("devices.added", name=device.name)))


async def suspend(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Let it in no more; a live connection is cut."""
    device = await site.gateway.bus.ask(SuspendDevice(device_id=device_id, by=BY))
    return site.redirect(LIST, Flash(site.words(request)("devices.suspended", name=device.name)))


async def open_door(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Open its door now; says what the terminal answered."""
    return await _tell(request, site, device_id, OpenDoor(reason=form.get("reason", "").strip()[:REASON]))


async def show_message(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Words for its display."""
    words = form.get("message", "").strip()[:MESSAGE]
    if not words:
        problem = site.words(request)("devices.message_empty")
        return await _one(request, site, await _device(site, device_id), 400, order_problem=problem)
    return await _tell(request, site, device_id, ShowMessage(zh=words, en=words))


async def update_faces(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """It shall fetch the changes of the face library."""
    return await _tell(request, site, device_id, UpdateFaces())


async def reload_config(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """It shall take its configuration over again."""
    return await _tell(request, site, device_id, ReloadConfig())


async def restart_page(request: Request, site: TheSite, device_id: int) -> Response:
    """Asks whether it is meant."""
    device = await _device(site, device_id)
    return _ask(request, site, "restart", f"{LIST}/{device_id}", name=device.name)


async def restart(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """It shall start anew."""
    return await _tell(request, site, device_id, Restart())


async def _tell(request: Request, site: Site, device_id: int, wish: Order) -> Response:
    """Tell it to do something; says what it answered."""
    device, words = await _device(site, device_id), site.words(request)
    try:
        outcome = await _order(site, words, device_id, wish)
    except _NotDone as error:
        return await _one(request, site, device, 409, order_problem=str(error))
    did = words("devices.obeyed", name=device.name, what=words(f"devices.done_{wish.action}"))
    return site.redirect(f"{LIST}/{device_id}", Flash(f"{did} {outcome.detail}".rstrip()))


async def take_snapshot(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """What its camera sees now. The picture is on this page only, and kept nowhere."""
    device, words = await _device(site, device_id), site.words(request)
    try:
        outcome = await _order(site, words, device_id, TakeSnapshot())
        inspect(outcome.picture, SNAPSHOT)
    except _NotDone as error:
        return await _one(request, site, device, 409, order_problem=str(error))
    except PictureError as error:
        return await _one(request, site, device, 409, order_problem=words.of(error))
    return await _one(request, site, device, snapshot=base64.b64encode(outcome.picture).decode())


class _NotDone(Exception):
    """The terminal is not there or could not; the message is a sentence in the reader's language."""


async def _order(site: Site, words: Words, device_id: int, wish: Order) -> OrderOutcome:
    """The answer of a terminal that did it. Raises _NotDone."""
    try:
        outcome = await site.gateway.terminals.order(TerminalOrder(device_id=device_id, order=wish, by=BY))
    except (Gone, Unavailable) as error:
        raise _NotDone(words.of(error)) from None
    if not outcome.ok:
        raise _NotDone(words("devices.refused", why=outcome.detail or outcome.error))
    return outcome


async def remove_page(request: Request, site: TheSite, device_id: int) -> Response:
    """Asks whether it is meant."""
    device = await _device(site, device_id)
    return _ask(request, site, "remove", LIST, name=device.name, sn=device.sn)


def _ask(request: Request, site: Site, what: str, back: str, **values: object) -> Response:
    """A page that asks before it is done: its form is posted to its own address."""
    words = site.words(request)
    return site.form_page(
        request,
        "confirm.html",
        title=words(f"devices.{what}"),
        ask=words(f"devices.{what}_ask", **values),
        what=words(f"devices.{what}_what"),
        yes=words(f"devices.{what}_yes"),
        back=back,
    )


async def remove(request: Request, site: TheSite, device_id: int, form: PostedForm) -> Response:
    """Forget a terminal."""
    device = await _device(site, device_id)
    await site.gateway.bus.ask(RemoveDevice(device_id=device_id, by=BY))
    return site.redirect(LIST, Flash(site.words(request)("devices.removed", name=device.name)))
