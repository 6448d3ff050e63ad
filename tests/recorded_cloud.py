"""A small real HTTP server that answers as Baidu's face library was recorded to (V3 §2.3, §3), keeps users and faces,
and can be told to misbehave. It recognises nobody: what a search finds is set by the test."""

import asyncio
import base64
import hashlib
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "/rest/2.0/face/v3/"
GOOD_QUALITY = {
    "occlusion": {
        "left_eye": 0, "right_eye": 0, "nose": 0, "mouth": 0, "left_cheek": 0.01, "right_cheek": 0, "chin_contour": 0,
    },
    "blur": 0.01, "illumination": 146, "completeness": 1,
}  # fmt: skip
ANGLE = {"yaw": -1.73, "pitch": 7.36, "roll": 3.28}
LOCATION = {"left": 117.4, "top": 131.22, "width": 172, "height": 170, "rotation": 4}


@dataclass
class Fault:
    """What happens to one call: `kind` is a code to answer with, or reset, garbage, silence, http500, slow."""

    kind: str | int
    seconds: float = 0.0


@dataclass
class RecordedCloud:
    """`users`: group → user → {token: picture}. `faults`: interface → what happens to its next calls, in order."""

    port: int = 0
    api_key: str = "an-api-key"
    secret_key: str = "a-secret-key"
    token_s: float = 2_592_000
    users: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    infos: dict[str, str] = field(default_factory=dict)
    finds: list[tuple[str, float]] = field(default_factory=list)
    """(user, score) of the next searches, best first"""
    quality: dict[str, Any] = field(default_factory=lambda: GOOD_QUALITY)
    angle: dict[str, float] = field(default_factory=lambda: ANGLE)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    token: str = "24.first.2592000.1500000000.282335-1"
    old_token_code: int = 110
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end_token(self, code: int = 110) -> None:
        """As after a restart of the service (110) or at the end of its life (111): there is another one now."""
        self.old_token_code = code
        self.token = f"24.next{self.calls['token']}.2592000.1500000000.282335-1"

    def fail(self, interface: str, *kinds: str | int, seconds: float = 0.0) -> None:
        self.faults.setdefault(interface, []).extend(Fault(kind, seconds) for kind in kinds)

    # ---- HTTP, as much of it as a client needs

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [
                    int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length")
                ]
                body = await reader.readexactly(lengths[0]) if lengths else b""
                if not await self._answered(line.split()[1].decode(), body, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()

    async def _answered(self, target: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
        """False: the connection is to be closed."""
        url = urlsplit(target)
        interface = "token" if url.path == "/oauth/2.0/token" else url.path.removeprefix(API)
        self.calls[interface] += 1
        self.arrived.set()
        waiting = self.faults.get(interface)
        fault = waiting.pop(0) if waiting else Fault("")
        await asyncio.sleep(fault.seconds)
        match fault.kind:
            case "reset":
                self._reset(writer)
                return False
            case "silence":
                await asyncio.Event().wait()
            case "garbage":
                await self._write(writer, 200, b"<html>502 Bad Gateway</html>")
            case "http500":
                await self._write(writer, 500, b"oops")
            case int(code):
                await self._write(writer, 200, json.dumps({"error_code": code, "error_msg": "as told"}).encode())
            case _:
                await self._write(writer, 200, self._said(interface, url.query, body))
        return True

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        """RST instead of FIN."""
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    @staticmethod
    async def _write(writer: asyncio.StreamWriter, status: int, body: bytes) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()

    # ---- the service

    def _said(self, interface: str, query: str, body: bytes) -> bytes:
        if interface == "token":
            return json.dumps(self._oauth(parse_qs(body.decode()))).encode()
        if parse_qs(query).get("access_token") != [self.token]:
            return json.dumps({"error_code": self.old_token_code, "error_msg": "Access token expired"}).encode()
        asked = json.loads(body)
        self.asked.append((interface, asked))
        code, message, result = self._result(interface, asked)
        envelope = {"error_code": code, "error_msg": message, "log_id": 1345050756015080031, "timestamp": 1531398744}
        return json.dumps({**envelope, "cached": 0, "result": result}).encode()

    def _oauth(self, form: dict[str, list[str]]) -> dict[str, Any]:
        if form.get("client_id") != [self.api_key]:
            return {"error": "invalid_client", "error_description": "unknown client id"}
        if form.get("client_secret") != [self.secret_key]:
            return {"error": "invalid_client", "error_description": "Client authentication failed"}
        rest = {"scope": "public brain_all_scope", "refresh_token": "25.x", "session_key": "k", "session_secret": "s"}
        return {"access_token": self.token, "expires_in": self.token_s, **rest}

    def _result(self, interface: str, asked: dict[str, Any]) -> tuple[int, str, Any]:
        group, user = asked.get("group_id", ""), asked.get("user_id", "")
        faces = self.users.get(group, {}).get(user)
        match interface:
            case "detect":
                face = {"face_token": _token(asked), "location": LOCATION, "face_probability": 1, "angle": self.angle}
                return _ok({"face_num": 1, "face_list": [{**face, "quality": self.quality}]})
            case "search":
                return self._search(asked)
            case "faceset/user/add":
                return self._add(group, user, asked)
            case "faceset/group/getusers" if group not in self.users:
                return 223100, "group is not exist", None
            case "faceset/group/getusers":
                return _ok({"user_id_list": list(self.users[group])[asked["start"] :][: asked["length"]]})
            case "faceset/group/getlist":
                return _ok({"group_id_list": list(self.users)[asked["start"] :][: asked["length"]]})
            case _ if faces is None:
                return 223103, "user is not exist", None
            case "faceset/face/getlist":
                return _ok({"face_list": [{"face_token": t, "ctime": "2018-07-12 20:32:24"} for t in faces]})
            case "faceset/user/get":
                return _ok({"user_list": [{"user_info": self.infos.get(user, ""), "group_id": group}]})
            case "faceset/user/delete":
                del self.users[group][user]
                return _ok(None)
            case "faceset/face/delete":
                return self._delete(group, user, asked["face_token"])
            case _:
                return 3, "Unsupported openapi method", None

    def _search(self, asked: dict[str, Any]) -> tuple[int, str, Any]:
        found = [(user, score) for user, score in self.finds if score >= float(asked["match_threshold"])]
        if not found:
            return 222207, "match user is not found", None
        users = [
            {"group_id": asked["group_id_list"], "user_id": user, "user_info": "", "score": score}
            for user, score in found[: asked["max_user_num"]]
        ]
        return _ok({"face_token": _token(asked), "user_list": users})

    def _add(self, group: str, user: str, asked: dict[str, Any]) -> tuple[int, str, Any]:
        token = _token(asked)
        if any(token in faces for faces in self.users.get(group, {}).values()):
            return 223105, "face is already exist", None
        self.users.setdefault(group, {}).setdefault(user, {})[token] = base64.b64decode(asked["image"])
        self.infos[user] = asked["user_info"]
        return _ok({"face_token": token, "location": LOCATION})

    def _delete(self, group: str, user: str, token: str) -> tuple[int, str, Any]:
        if self.users[group][user].pop(token, None) is None:
            return 223106, "face is not exist", None
        if not self.users[group][user]:
            del self.users[group][user]
        return _ok(None)


def _ok(result: Any) -> tuple[int, str, Any]:
    return 0, "SUCCESS", result


def _token(asked: dict[str, Any]) -> str:
    return hashlib.md5(base64.b64decode(asked["image"]), usedforsecurity=False).hexdigest()


@asynccontextmanager
async def recorded_cloud() -> AsyncIterator[RecordedCloud]:
    """Listening while inside."""
    cloud = RecordedCloud()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(cloud.serve(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    cloud.port = server.sockets[0].getsockname()[1]
    try:
        yield cloud
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
