"""Who may use a route. Every route states one of these; a test fails for a route that states none."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection, Request

from gateway.origin import is_this_machine, require_same_origin
from gateway.sessions import Session
from gateway.site import Site, TheSite
from shared.contracts.library import App
from shared.contracts.office import GetOfficeState
from shared.errors import NotAllowed
from shared.security import ticket_holds

WALL_TICKET = "wall"
SETUP_TICKET = "setup"


class LoginNeeded(Exception):
    """Nobody is logged in, or no longer."""


class FormExpired(NotAllowed):
    """The form was not made by our page for this session, or too long ago."""

    code = "form_expired"


def open_to_all() -> None:
    """Anybody: the kiosk pages, health, the login itself."""


async def office_session(connection: HTTPConnection, site: TheSite) -> Session:
    """The office, logged in with the present password. Raises LoginNeeded."""
    session = await current_session(connection, site)
    if session is None:
        raise LoginNeeded
    return session


async def current_session(connection: HTTPConnection, site: Site) -> Session | None:
    """The office's session, if it was opened with the password that holds now."""
    session = site.sessions.read(connection.cookies)
    if session is None or session.password_id is None:
        return None
    state = await site.gateway.bus.ask(GetOfficeState())
    return session if state.has_password and state.password_id == session.password_id else None


async def wall_viewer(connection: HTTPConnection, site: TheSite) -> None:
    """The office, or a hall's screen with a ticket. Raises LoginNeeded, NotAllowed."""
    ticket = connection.query_params.get("ticket")
    if ticket is None:
        await office_session(connection, site)
    elif not ticket_holds(site.secret, WALL_TICKET, ticket):
        raise NotAllowed("大屏链接无效或已过期，请向办公室索取新链接", "This wall link is invalid or has expired")


def first_visitor(connection: HTTPConnection, site: TheSite) -> None:
    """Whoever sits at this machine, or was handed a setup ticket. Raises NotAllowed."""
    ticket = connection.query_params.get("ticket", "")
    if not is_this_machine(connection) and not ticket_holds(site.secret, SETUP_TICKET, ticket):
        raise NotAllowed(
            "首次设置密码只能在运行 Rollcall 的电脑上进行（用 http://localhost 打开），"
            "或使用 rollcall admin 给出的设置链接",
            "The first password can only be set on the computer that runs Rollcall (open http://localhost there), "
            "or through the setup link that `rollcall admin` prints",
        )


def shows_a_token() -> None:
    """A terminal. Its token, or its name and serial number, are in the body, a photo's ticket is in the address: the
    calls check them themselves (gateway.terminal_api.callers)."""


async def key_holder(request: Request, site: TheSite) -> App:
    """A program with a key of an app. Raises a refusal with Baidu's code."""
    return await site.gateway.face_api.callers.app_of(request)


POLICIES = (open_to_all, office_session, wall_viewer, first_visitor, key_holder, shows_a_token)


async def posted_form(request: Request, site: TheSite) -> Mapping[str, str]:
    """The fields of a form that our own page made for this session. Raises FormExpired."""
    require_same_origin(request)
    async with request.form(max_files=0, max_fields=40) as form:
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    if not site.sessions.form_token_holds(site.sessions.read(request.cookies), fields.get("form_token", "")):
        raise FormExpired("页面已过期，请返回重新提交", "This form has expired, please go back and submit it again")
    return fields


PostedForm = Annotated[Mapping[str, str], Depends(posted_form)]
