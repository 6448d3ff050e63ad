"""Into the office and out of it."""

from urllib.parse import quote

from fastapi import APIRouter, Depends
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.origin import client_address
from gateway.policies import PostedForm, first_visitor, office_session, open_to_all
from gateway.sessions import Flash
from gateway.site import Site, TheSite
from shared.contracts.office import CheckPassword, GetOfficeState, OfficeState, Password, SetPassword
from shared.errors import Conflict, NotAllowed

HOME = "/office/punches"
SHORTEST = 8


def login_pages() -> APIRouter:
    """The routes."""
    router = APIRouter()
    anybody, first, office = [Depends(open_to_all)], [Depends(first_visitor)], [Depends(office_session)]
    router.add_api_route("", front_door, methods=["GET"], dependencies=office)
    router.add_api_route("/login", login_page, methods=["GET"], dependencies=anybody)
    router.add_api_route("/login", login, methods=["POST"], dependencies=anybody)
    router.add_api_route("/logout", logout, methods=["POST"], dependencies=anybody)
    router.add_api_route("/setup", setup_page, methods=["GET"], dependencies=first)
    router.add_api_route("/setup", setup, methods=["POST"], dependencies=first)
    router.add_api_route("/password", password_page, methods=["GET"], dependencies=office)
    router.add_api_route("/password", change_password, methods=["POST"], dependencies=office)
    return router


async def front_door() -> Response:
    """The page that the office sees first."""
    return RedirectResponse(HOME, 303)


async def login_page(request: Request, site: TheSite) -> Response:
    """Asks for the password; the very first visit is sent to set one."""
    state = await site.gateway.bus.ask(GetOfficeState())
    if not state.has_password:
        return RedirectResponse("/office/setup", 303)
    return _login_form(request, site, request.query_params.get("next", ""))


async def login(request: Request, site: TheSite, form: PostedForm) -> Response:
    """Opens a session."""
    site.passwords.take(client_address(request))
    state = await _checked(site, form.get("password", ""))
    if state is None:
        return _login_form(request, site, form.get("next", ""), 401, problem=site.words(request)("login.wrong"))
    response = site.redirect(_safe(form.get("next", "")))
    site.sessions.open(response, state.password_id)
    return response


async def logout(site: TheSite, form: PostedForm) -> Response:
    """Closes the session in this browser."""
    response = site.redirect("/")
    site.sessions.close(response)
    return response


async def setup_page(request: Request, site: TheSite) -> Response:
    """Asks for the first password."""
    state = await site.gateway.bus.ask(GetOfficeState())
    return RedirectResponse("/office/login", 303) if state.has_password else _setup_form(request, site)


async def setup(request: Request, site: TheSite, form: PostedForm) -> Response:
    """Sets the first password and opens a session."""
    if problem := _new_password_problem(form):
        return _setup_form(request, site, 400, problem=site.words(request)(problem))
    try:
        state = await _set(site, form["password"], first=True)
    except Conflict:
        return site.redirect("/office/login", Flash(site.words(request)("setup.taken"), "warn"))
    response = site.redirect(HOME, Flash(site.words(request)("setup.done")))
    site.sessions.open(response, state.password_id)
    return response


async def password_page(request: Request, site: TheSite) -> Response:
    """Asks for the old password and a new one."""
    return site.form_page(request, "password.html", problem="")


async def change_password(request: Request, site: TheSite, form: PostedForm) -> Response:
    """Changes the password, which ends every other session."""
    site.passwords.take(client_address(request))
    problem = _new_password_problem(form) or ("login.wrong" if not await _checked(site, form.get("old", "")) else "")
    if problem:
        return site.form_page(request, "password.html", 400, problem=site.words(request)(problem))
    state = await _set(site, form["password"], first=False)
    response = site.redirect(HOME, Flash(site.words(request)("password.done")))
    site.sessions.open(response, state.password_id)
    return response


def _login_form(request: Request, site: Site, after: str, status: int = 200, problem: str = "") -> Response:
    return site.form_page(request, "login.html", status, problem=problem, after=_safe(after))


def _setup_form(request: Request, site: Site, status: int = 200, problem: str = "") -> Response:
    ticket = request.query_params.get("ticket", "")
    action = f"/office/setup?ticket={quote(ticket)}" if ticket else "/office/setup"
    return site.form_page(request, "setup.html", status, problem=problem, action=action)


async def _checked(site: Site, password: str) -> OfficeState | None:
    """The office's state if this is its password."""
    try:
        return await site.gateway.bus.ask(CheckPassword(password=Password(value=SecretStr(password))))
    except (NotAllowed, ValidationError):
        return None


async def _set(site: Site, password: str, *, first: bool) -> OfficeState:
    return await site.gateway.bus.ask(SetPassword(password=Password(value=SecretStr(password)), first=first))


def _new_password_problem(form: PostedForm) -> str:
    """The key of what is wrong with a new password, empty if nothing is."""
    password = form.get("password", "")
    if len(password) < SHORTEST:
        return "password.short"
    if len(password) > 256:
        return "password.long"
    return "" if password == form.get("again", "") else "password.differs"


def _safe(after: str) -> str:
    """Where to go after the login: only pages of ours ("//evil" and "/\\evil" are other sites to a browser)."""
    ours = after.startswith("/") and not after.startswith(("//", "/\\")) and after.isprintable()
    return after if ours and "\\" not in after else HOME
