"""Who is at the other end: signed cookies, nothing kept on the server, so any gateway can answer any request."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from itsdangerous import BadData, URLSafeTimedSerializer
from starlette.responses import Response

SESSION_COOKIE: Final = "rollcall_session"
LIFETIME_S: Final = 12 * 3600
FLASH_COOKIE: Final = "rollcall_flash"
FLASH_S: Final = 60


@dataclass(frozen=True, slots=True)
class Session:
    """`password_id` is the password it was opened with, None for a visitor who only has a form before them.

    A changed password has another id, which ends every session of the old one.
    """

    id: str
    password_id: int | None = None


@dataclass(frozen=True, slots=True)
class Flash:
    """A sentence for the next page; `kind` is good, warn or bad."""

    text: str
    kind: str = "good"


class Sessions:
    """Reads and writes the cookies; `secure` keeps them off plain HTTP."""

    def __init__(self, secret: str, secure: bool) -> None:
        self._secret, self._secure = secret, secure
        self._session = URLSafeTimedSerializer(secret, salt="rollcall session")
        self._flash = URLSafeTimedSerializer(secret, salt="rollcall flash")

    def read(self, cookies: Mapping[str, str]) -> Session | None:
        """The session of a request, None if there is none or it is over."""
        match _unsigned(self._session, cookies.get(SESSION_COOKIE, ""), LIFETIME_S):
            case {"id": str(id), "password": int() | None as password_id}:
                return Session(id, password_id)
        return None

    def open(self, response: Response, password_id: int | None = None) -> Session:
        """Begin a session, under a fresh id: one known before the login is worth nothing after it."""
        session = Session(secrets.token_urlsafe(16), password_id)
        signed = self._session.dumps({"id": session.id, "password": session.password_id})
        self._set(response, SESSION_COOKIE, signed, LIFETIME_S)
        return session

    def close(self, response: Response) -> None:
        """End the session in this browser."""
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax", secure=self._secure)

    def form_token(self, session: Session) -> str:
        """What a form must bring along to prove that our page made it."""
        return hmac.new(self._secret.encode(), f"form|{session.id}".encode(), hashlib.sha256).hexdigest()

    def form_token_holds(self, session: Session | None, token: str) -> bool:
        """Whether the form was made for this session."""
        return session is not None and hmac.compare_digest(token.encode(), self.form_token(session).encode())

    def set_flash(self, response: Response, flash: Flash) -> None:
        """Say something on the next page."""
        self._set(response, FLASH_COOKIE, self._flash.dumps([flash.text, flash.kind]), FLASH_S)

    def take_flash(self, cookies: Mapping[str, str]) -> Flash | None:
        """What the page before wanted to say."""
        match _unsigned(self._flash, cookies.get(FLASH_COOKIE, ""), FLASH_S):
            case [str(text), str(kind)]:
                return Flash(text, kind)
        return None

    def drop_flash(self, response: Response) -> None:
        """It was said."""
        response.delete_cookie(FLASH_COOKIE, httponly=True, samesite="lax", secure=self._secure)

    def _set(self, response: Response, name: str, value: str, lifetime_s: int) -> None:
        response.set_cookie(name, value, max_age=lifetime_s, httponly=True, samesite="lax", secure=self._secure)


def _unsigned(signer: URLSafeTimedSerializer, cookie: str, max_age: int) -> Any:
    try:
        return signer.loads(cookie, max_age=max_age)
    except BadData:
        return None
