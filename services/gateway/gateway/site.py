"""What every page needs, in one place: the gateway behind it, words, templates, sessions, limits."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, cast
from zoneinfo import ZoneInfo

from fastapi import Depends
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, RedirectResponse

from gateway.rendering import HERE, Statics, Templates
from gateway.sessions import Flash, Sessions
from gateway.throttle import Rates, Throttle
from gateway.words import HTML_LANG, Words, choose_language, load_words

if TYPE_CHECKING:
    from gateway.gateway import Gateway

LANGUAGE_COOKIE = "lang"
YEAR_S = 365 * 86_400
CHECK_VIEWERS_S = 60.0
"""A wall's right to watch is looked at again this often: sessions end, tickets run out."""


class Site:
    """The gateway's web face. One per app, at `app.state.site`."""

    def __init__(self, gateway: "Gateway", rates: Rates) -> None:
        settings = gateway.settings
        self.gateway = gateway
        self.secret = settings.secret.get_secret_value()
        self.zone = ZoneInfo(settings.timezone)
        self.check_viewers_s = CHECK_VIEWERS_S
        self.statics = Statics(HERE / "static")
        self.sessions = Sessions(self.secret, settings.secure_cookies)
        self.clock_ins = Throttle(rates.clock_in)
        self.registrations = Throttle(rates.register)
        self.challenges = Throttle(rates.challenge)
        self.passwords = Throttle(rates.password)
        self._templates = Templates(self.statics, self.zone)
        self._words = load_words()

    def words(self, connection: HTTPConnection) -> Words:
        """The language of a request."""
        asked, remembered = connection.query_params.get("lang"), connection.cookies.get(LANGUAGE_COOKIE)
        return self._words[choose_language(asked, remembered, connection.headers.get("accept-language", ""))]

    def today(self) -> datetime:
        """The present moment on the school's clock."""
        return datetime.now(self.zone)

    def page(self, request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page in the visitor's language; says the flash, and remembers a language that was clicked."""
        words, flash = self.words(request), self.sessions.take_flash(request.cookies)
        everywhere = {"flash": flash, "path": request.url.path, "other_lang": _other_language(request, words)}
        html = self._templates.render(template, words, **{**everywhere, **context})
        response = HTMLResponse(html, status, {"Content-Language": words.html_lang, "Vary": "Accept-Language, Cookie"})
        if request.query_params.get("lang") in HTML_LANG:
            response.set_cookie(LANGUAGE_COOKIE, words.lang, max_age=YEAR_S, httponly=True, samesite="lax")
        if flash:
            self.sessions.drop_flash(response)
        return response

    def form_page(self, request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """A page with forms that carry a token; a visitor without a session gets one."""
        session = self.sessions.read(request.cookies)
        if session is not None:
            return self.page(request, template, status, form_token=self.sessions.form_token(session), **context)
        holder = HTMLResponse()
        token = self.sessions.form_token(self.sessions.open(holder))
        response = self.page(request, template, status, form_token=token, **context)
        response.headers.append("set-cookie", holder.headers["set-cookie"])
        return response

    def redirect(self, to: str, flash: Flash | None = None) -> RedirectResponse:
        """See other, with something to say there."""
        response = RedirectResponse(to, 303)
        if flash:
            self.sessions.set_flash(response, flash)
        return response


def _other_language(request: Request, words: Words) -> str:
    """This page's query in the other language, as the switch's address."""
    other = next(lang for lang in HTML_LANG if lang != words.lang)
    query = str(request.url.include_query_params(lang=other).query) if request.method == "GET" else f"lang={other}"
    return f"?{query}"


def site_of(connection: HTTPConnection) -> Site:
    """The app's site."""
    return cast(Site, connection.app.state.site)


TheSite = Annotated[Site, Depends(site_of)]
