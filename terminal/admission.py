"""How a terminal gets in: who it is, where the server is, and what proves it: a challenge answered, or a token."""

import hashlib
import hmac
import ssl
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from terminal.events import Ended
from terminal.trust import trusted

ANSWER_S = 10.0
"""how long the server may take to answer a request or a hello"""
IN_LINE_S = 30.0
"""how long a hub may take to let a terminal in: of a whole fleet that comes back, whoever gives up sooner only makes
the line longer"""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the office authorised. Without a secret only a terminal that the office believes on its serial number
    alone gets a token; an unknown one is announced to the office by asking."""

    name: str
    sn: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """Where the server is: `api` like http://127.0.0.1:8000, `hub` like ws://127.0.0.1:8001."""

    api: str
    hub: str
    ca: Path | None = None
    """an authority to trust beside those of this machine"""

    @property
    def trust(self) -> ssl.SSLContext:
        return trusted(self.ca)

    def tls(self, url: str) -> ssl.SSLContext | None:
        """What websockets wants to know for this address."""
        return self.trust if url.startswith("wss:") else None

    @property
    def token_url(self) -> str:
        return f"{self.api}/faces/api/token"

    @property
    def stream_url(self) -> str:
        return f"ws{self.api.removeprefix('http')}/stream"

    @property
    def channel_url(self) -> str:
        return f"{self.hub}/terminal"

    @property
    def challenge_url(self) -> str:
        return f"http{self.hub.removeprefix('ws')}/terminal"


async def prove(http: httpx.AsyncClient, server: Server, identity: Identity) -> str:
    """What to say in `Authorization` to the hub: its challenge, answered with the secret. Raises Ended,
    httpx.HTTPError."""
    response = await http.get(server.challenge_url, headers={"Connection": "close"}, timeout=IN_LINE_S)
    try:
        challenge = str(response.json()["challenge"])
    except (ValueError, KeyError, TypeError):
        raise Ended(f"no challenge: HTTP {response.status_code}") from None
    return proved_by(challenge, identity)


def proved_by(challenge: str, identity: Identity) -> str:
    """What to say in `Authorization` to the hub that gave this challenge."""
    return f"Rollcall {challenge}:{_answer_to(challenge, identity)}:{identity.sn}"


def proved_at(identity: Identity, at: datetime) -> str:
    """What to say in `Authorization` to a hub whose clock says `at`, without asking it first."""
    at_ms = str(int(at.timestamp() * 1e3))
    proof = hmac.new(identity.secret.encode(), at_ms.encode(), hashlib.sha512).hexdigest()
    return f"Rollcall-At {at_ms}:{proof}:{identity.sn}"


def _answer_to(challenge: str, identity: Identity) -> str:
    return hmac.new(identity.secret.encode(), challenge.encode(), hashlib.sha256).hexdigest()


async def fetch_token(http: httpx.AsyncClient, server: Server, identity: Identity) -> str:
    """A fresh token, through a challenge if the server gives one. Raises Ended with the server's words;
    httpx.HTTPError when there is no server."""
    form = {"deviceName": identity.name, "sn": identity.sn}
    answer = await _ask_for_token(http, server, form)
    if challenge := str(answer.get("challenge", "")):
        answered = {"challenge": challenge, "answer": _answer_to(challenge, identity)}
        answer = await _ask_for_token(http, server, form | answered)
    if "token" not in answer:
        raise Ended(f"no token: {answer['code']} {answer.get('message', '')}", by_person=True)
    return str(answer["token"])


async def _ask_for_token(http: httpx.AsyncClient, server: Server, form: dict[str, str]) -> dict[str, Any]:
    response = await http.post(server.token_url, data=form)
    try:
        answer: dict[str, Any] = response.json()
        code = answer["code"]
    except (ValueError, KeyError, TypeError):
        raise Ended(f"no token: HTTP {response.status_code}") from None
    if response.status_code >= 500:
        raise Ended(f"no token: {code} {answer.get('message', '')}")
    return answer
