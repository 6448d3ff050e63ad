"""What surrounds every page: policies, headers, errors, static files, languages, the body limit."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from starlette.routing import Mount
from structlog.testing import capture_logs

from gateway.app import create_app
from gateway.body_limit import MAX_BODY
from gateway.policies import POLICIES, open_to_all, posted_form
from tests.unit.gateway.pages.conftest import ENGLISH, browser_at
from tests.unit.gateway.pages.gateway_double import GatewayDouble

OPEN = {
    "/",
    "/register",
    "/clockin",
    "/stream",
    "/healthz",
    "/readyz",
    "/office/login",
    "/office/logout",
    "/faces/api/token",
    "/oauth/2.0/token",
    "/rest/2.0/{path:path}",
    "/api/v1/openapi.json",
}
"""Routes that anybody may use; a new one is added here only with a reason."""


def routes_of(app: FastAPI) -> Iterator[Any]:
    """Every route with what it depends on, included routers opened up."""
    waiting = list(app.routes)
    while waiting:
        route = waiting.pop()
        if hasattr(route, "effective_candidates"):
            waiting.extend(route.effective_candidates())
        else:
            yield getattr(route, "starlette_route", None) or route


def calls_of(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from calls_of(inner)


def test_every_route_states_who_may_use_it(app: FastAPI) -> None:
    stated = {}
    for route in routes_of(app):
        if isinstance(route, Mount):
            assert route.path == "/static"
            continue
        policies = [call for call in calls_of(route.dependant) if call in POLICIES]
        assert policies, f"{route.path} states no policy: see gateway.policies"
        stated.setdefault(route.path, set()).update(policies)
    assert {path for path, policies in stated.items() if policies == {open_to_all}} == OPEN
    assert len(stated) > 18


def test_every_office_post_checks_its_form(app: FastAPI) -> None:
    posts = [
        r for r in routes_of(app) if "POST" in (getattr(r, "methods", None) or ()) and r.path.startswith("/office")
    ]
    assert len(posts) == 20
    for route in posts:
        assert posted_form in calls_of(route.dependant), route.path


EVERYWHERE = [
    "/",
    "/register",
    "/clockin",
    "/live",
    "/office",
    "/office/login",
    "/office/setup",
    "/healthz",
    "/nope",
    "/static/css/rollcall.css",
]


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_security_headers_are_everywhere(browser: httpx.AsyncClient, path: str) -> None:
    headers = (await browser.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    for part in (
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "object-src 'none'",
        "connect-src 'self' ws://localhost wss://localhost;",
    ):
        assert part in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    sees = path in ("/", "/register", "/clockin")
    assert headers["permissions-policy"].startswith("camera=(self)," if sees else "camera=(),")
    assert "strict-transport-security" not in headers


@pytest.mark.parametrize("https", [{"secure_cookies": True}, {}])
async def test_who_came_by_https_is_told_to_stay_there(https: dict[str, bool]) -> None:
    """Where the operator says that everybody comes by HTTPS, and where the proxy says so of a request."""
    async with browser_at(create_app(GatewayDouble(**https))) as browser:  # type: ignore[arg-type]
        browser.base_url = httpx.URL("http://localhost" if https else "https://localhost")
        assert (await browser.get("/")).headers["strict-transport-security"] == "max-age=31536000"


async def test_a_strange_host_does_not_enter_the_policy(app: FastAPI) -> None:
    async with browser_at(app) as browser:
        answer = await browser.get("/", headers={"host": "x; script-src *"})
    assert "connect-src 'self';" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/register", "/clockin", "/office/setup", "/nope"])
async def test_no_page_has_inline_script_or_style(browser: httpx.AsyncClient, path: str) -> None:
    page = (await browser.get(path)).text
    for tag in re.findall(r"<script[^>]*>", page):
        assert 'src="/static/' in tag
    assert "<style" not in page
    assert not re.search(r"\sstyle=|\son[a-z]+=|javascript:|https?://(?!localhost|www\.w3\.org)", page)


async def test_pages_that_are_not_there(browser: httpx.AsyncClient) -> None:
    page = await browser.get("/nope")
    assert page.status_code == 404
    assert "没有这个页面" in page.text
    assert "Rollcall" in page.text
    answer = await browser.get("/nope", headers={"accept": "application/json"})
    assert answer.json() == {"errno": 404, "errmsg": "没有这个页面"}
    for schema in ("/docs", "/redoc", "/openapi.json"):
        assert (await browser.get(schema)).status_code == 404


async def test_a_method_that_is_not_taken(browser: httpx.AsyncClient) -> None:
    answer = await browser.delete("/register")
    assert answer.status_code == 405
    assert "不支持这种请求" in answer.text
    assert "allow" in answer.headers


async def test_a_bug_is_a_page_in_words_with_its_headers(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.recognition.refusal = ZeroDivisionError("bug")
    form = {"stu_name": "a", "stu_class": "b", "stu_num": "c", "gender": "MAN", "consent": "yes"}
    with capture_logs() as logged:
        answer = await browser.post("/register", data={**form, "img_data": "data:image/png;base64,AAAA"})
    assert [line["event"] for line in logged] == ["page failed"]
    assert answer.status_code == 500
    assert "系统出了点问题" in answer.text
    assert "ZeroDivision" not in answer.text
    assert "content-security-policy" in answer.headers


async def test_head_is_get_without_a_body(browser: httpx.AsyncClient) -> None:
    for path in ("/", "/clockin", "/healthz", "/static/css/rollcall.css"):
        answer = await browser.head(path)
        assert answer.status_code == 200
        assert answer.content == b""


async def test_health(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    async def broken() -> None:
        raise RuntimeError("no broker")

    assert (await browser.get("/healthz")).json()["status"] == "alive"
    assert (await browser.get("/readyz")).status_code == 200
    gateway.health.add("broker", broken)
    assert (await browser.get("/readyz")).status_code == 503
    assert (await browser.get("/healthz")).status_code == 200


async def test_static_files_may_be_kept_exactly_when_their_hash_is_asked_for(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/clockin")).text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        answer = await browser.get(address)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    script = await browser.get("/static/js/camera.js")
    assert script.headers["cache-control"] == "no-cache"
    assert "javascript" in script.headers["content-type"]
    again = await browser.get("/static/js/camera.js", headers={"if-none-match": script.headers["etag"]})
    assert again.status_code == 304
    assert (await browser.get("/static/js/camera.js?v=stale")).headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/static//etc/passwd",
        "/static/css/..%5c..%5capp.py",
        "/faces/api/photo/../../app.py",
        "/faces/api/photo/1/..%2f..%2fapp.py",
        "/office/students/..%2f..%2fapp.py",
    ],
)
async def test_no_path_leads_to_another_file(app: FastAPI, path: str) -> None:
    """The path as it stands, which a browser would have tidied up."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": unquote(path), "raw_path": path.encode(), "query_string": b""}
    await app({**scope, "scheme": "http", "headers": [(b"host", b"localhost")], "root_path": ""}, receive, send)
    assert sent[0]["status"] in (303, 401, 404, 422, 400)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    assert b"create_app" not in body and b"root:" not in body


async def test_every_module_that_is_imported_is_there(browser: httpx.AsyncClient) -> None:
    waiting, seen = ["index", "register", "clockin", "live"], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        source = await browser.get(f"/static/js/{name}.js")
        assert source.status_code == 200, name
        waiting += set(re.findall(r'from "\./(\w+)\.js"', source.text)) - seen


async def chunks(total: int) -> AsyncIterator[bytes]:
    sent = 0
    while sent < total:
        yield b"x" * 1_000_000
        sent += 1_000_000


@pytest.mark.parametrize("path", ["/register", "/clockin"])
async def test_a_body_without_end_is_cut_off(browser: httpx.AsyncClient, path: str) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await browser.post(path, content=chunks(MAX_BODY + 2_000_000), headers=headers)
    assert answer.status_code == 413
    assert "超过 16 MB" in answer.text


async def test_an_office_form_has_only_short_fields(browser: httpx.AsyncClient) -> None:
    assert (await browser.post("/office/login", data={"password": "x" * 2_000_000})).status_code == 400


async def test_a_length_that_is_announced_too_large(browser: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded", "content-length": str(MAX_BODY + 1)}
    assert (await browser.post("/register", content=b"a=b", headers=headers)).status_code == 413


async def test_languages(app: FastAPI) -> None:
    async with browser_at(app, **ENGLISH) as browser:
        page = await browser.get("/")
        assert '<html lang="en">' in page.text
        assert page.headers["content-language"] == "en"
        assert "cookie" in page.headers["vary"].lower()
        chosen = await browser.get("/?lang=zh")
        assert '<html lang="zh-CN">' in chosen.text
        assert "打卡" in (await browser.get("/clockin")).text, "the choice is remembered"
        assert (await browser.get("/?lang=xx")).status_code == 200


async def test_the_switch_keeps_the_rest_of_the_address(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/clockin?place=东门")).text
    assert re.search(r'href="\?place=%E4%B8%9C%E9%97%A8&amp;lang=en"', page)
