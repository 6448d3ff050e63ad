"""Into the office: setup, login, sessions, CSRF."""

import httpx
import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.sessions import SESSION_COOKIE
from gateway.throttle import Rate, Rates
from shared.security import make_ticket
from tests.unit.gateway.pages.conftest import PASSWORD, browser_at, form_token, log_in, post_form
from tests.unit.gateway.pages.gateway_double import SECRET, GatewayDouble

NEW = {"password": PASSWORD, "again": PASSWORD}


async def test_the_first_visit_sets_the_password_and_is_in(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    assert (await browser.get("/office/login")).headers["location"] == "/office/setup"
    answer = await post_form(browser, "/office/setup", "/office/setup", **NEW)
    assert (answer.status_code, answer.headers["location"]) == (303, "/office/punches")
    assert gateway.registry.password == PASSWORD
    assert "密码已设置" in (await browser.get("/office/punches")).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": "short", "again": "short"}, "密码至少 8 位"),
        ({"password": "x" * 257, "again": "x" * 257}, "密码最长 256 位"),
        ({"password": PASSWORD, "again": "something else"}, "两次输入的密码不一样"),
        ({}, "密码至少 8 位"),
    ],
)
async def test_a_new_password_is_checked(
    browser: httpx.AsyncClient, gateway: GatewayDouble, fields: dict[str, str], words: str
) -> None:
    answer = await post_form(browser, "/office/setup", "/office/setup", **fields)
    assert answer.status_code == 400
    assert words in answer.text
    assert not gateway.registry.password


@pytest.mark.parametrize(
    ("address", "host", "headers"),
    [
        ("192.0.2.9", "http://192.0.2.1:8000", {}),
        ("127.0.0.1", "http://rollcall.example", {}),
        ("127.0.0.1", "http://localhost", {"x-forwarded-for": "127.0.0.1"}),
        ("127.0.0.1", "http://localhost", {"forwarded": "for=192.0.2.9"}),
    ],
)
async def test_setup_is_for_this_machine_only(app: FastAPI, address: str, host: str, headers: dict[str, str]) -> None:
    async with browser_at(app, address, host, **headers) as far:
        page = await far.get("/office/setup")
        assert page.status_code == 403
        assert "首次设置密码只能在运行 Rollcall 的电脑上进行" in page.text
        ticket = make_ticket(SECRET, "setup", 86_400)
        token = form_token(await far.get("/office/setup", params={"ticket": ticket}))
        refused = await far.post("/office/setup", data={"form_token": token, **NEW})
        assert refused.status_code == 403
        answer = await far.post("/office/setup", params={"ticket": ticket}, data={"form_token": token, **NEW})
        assert answer.status_code == 303


async def test_setup_is_over_once_there_is_a_password(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    token = form_token(await browser.get("/office/setup"))
    gateway.registry.password, gateway.registry.password_id = "set meanwhile", 1
    answer = await browser.post("/office/setup", data={"form_token": token, **NEW})
    assert answer.headers["location"] == "/office/login"
    assert gateway.registry.password == "set meanwhile"
    assert (await browser.get("/office/setup")).headers["location"] == "/office/login"


async def test_login_and_logout(office: httpx.AsyncClient) -> None:
    assert (await office.get("/office")).headers["location"] == "/office/punches"
    left = await post_form(office, "/office/punches", "/office/logout")
    assert left.headers["location"] == "/"
    assert (await office.get("/office/punches")).status_code == 303


async def test_a_wrong_password(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    for wrong in ("not the password", "short", "", "x" * 300):
        answer = await log_in(browser, wrong)
        assert answer.status_code == 401
        assert "密码不对" in answer.text
        assert (await browser.get("/office/students")).status_code == 303


async def test_guessing_is_slowed_down(gateway: GatewayDouble) -> None:
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    app = create_app(gateway, Rates(password=Rate(burst=3, per_second=0.01)))  # type: ignore[arg-type]
    async with browser_at(app) as browser:
        for _ in range(3):
            assert (await log_in(browser, "guess number one")).status_code == 401
        assert (await log_in(browser, PASSWORD)).status_code == 429


async def test_the_login_leads_to_where_one_wanted_to_go(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    turned = await browser.get("/office/students?text=王&page=2")
    page = await browser.get(turned.headers["location"])
    assert 'name="next" value="/office/students?text=' in page.text
    fields = {"form_token": form_token(page), "password": PASSWORD, "next": "/office/students?page=2"}
    assert (await browser.post("/office/login", data=fields)).headers["location"] == "/office/students?page=2"


@pytest.mark.parametrize("elsewhere", ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil", "x"])
async def test_but_not_to_another_site(browser: httpx.AsyncClient, gateway: GatewayDouble, elsewhere: str) -> None:
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    answer = await post_form(browser, "/office/login", "/office/login", password=PASSWORD, next=elsewhere)
    assert answer.headers["location"] == "/office/punches"


async def test_the_cookie_is_kept_from_scripts_and_other_sites(app: FastAPI, gateway: GatewayDouble) -> None:
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    async with browser_at(app) as browser:
        cookie = (await log_in(browser)).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "max-age=43200" in cookie
    assert "secure" not in cookie


async def test_behind_https_the_cookie_stays_there() -> None:
    gateway = GatewayDouble(secure_cookies=True)
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    async with browser_at(create_app(gateway), host="https://school.example") as browser:  # type: ignore[arg-type]
        assert "secure" in (await log_in(browser)).headers["set-cookie"].lower()


async def test_the_login_changes_the_session(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    await browser.get("/office/login")
    before = browser.cookies[SESSION_COOKIE]
    await log_in(browser)
    assert browser.cookies[SESSION_COOKIE] != before


async def test_a_cookie_that_was_tampered_with_is_nothing(office: httpx.AsyncClient) -> None:
    good = office.cookies[SESSION_COOKIE]
    for bad in (good[:-1], good.replace(".", "x", 1), "{}", "", good[::-1]):
        office.cookies.clear()
        office.cookies.set(SESSION_COOKIE, bad)
        assert (await office.get("/office/students")).status_code == 303


async def test_a_changed_password_ends_every_other_session(app: FastAPI, office: httpx.AsyncClient) -> None:
    async with browser_at(app) as other:
        await log_in(other)
        fields = {"old": PASSWORD, "password": "a newer password", "again": "a newer password"}
        answer = await post_form(office, "/office/password", "/office/password", **fields)
        assert answer.status_code == 303
        assert (await office.get("/office/punches")).status_code == 200
        assert (await other.get("/office/punches")).status_code == 303


async def test_changing_needs_the_present_password(office: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    fields = {"old": "not the password", "password": "a newer password", "again": "a newer password"}
    answer = await post_form(office, "/office/password", "/office/password", **fields)
    assert answer.status_code == 400
    assert gateway.registry.password == PASSWORD


POSTS = [
    "/office/login",
    "/office/logout",
    "/office/setup",
    "/office/password",
    "/office/students/1",
    "/office/students/1/delete",
    "/office/devices",
    "/office/devices/wall",
    "/office/devices/1/remove",
]


@pytest.mark.parametrize("path", POSTS)
async def test_every_form_needs_its_token(
    app: FastAPI, office: httpx.AsyncClient, gateway: GatewayDouble, path: str
) -> None:
    gateway.registry.add_student("1", "王小明", "一班")
    async with browser_at(app) as stranger:
        foreign = form_token(await stranger.get("/office/login"))
    for token in ("", "0" * 64, "ü", foreign):
        answer = await office.post(path, data={"form_token": token})
        assert answer.status_code == 403
        assert "页面已过期" in answer.text
    assert gateway.registry.students


@pytest.mark.parametrize("path", POSTS)
async def test_another_sites_form_is_refused(office: httpx.AsyncClient, path: str) -> None:
    token = form_token(await office.get("/office/punches"))
    answer = await office.post(path, data={"form_token": token}, headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert "其他网站" in answer.text


async def test_a_program_without_a_login_is_told_so_in_json(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/office/students", headers={"accept": "application/json"})
    assert (answer.status_code, answer.json()) == (401, {"errno": 401, "errmsg": "请先登录办公室"})


async def test_an_outage_of_the_registry_is_a_page(browser: httpx.AsyncClient, gateway: GatewayDouble) -> None:
    gateway.registry.is_away = True
    answer = await browser.get("/office/login")
    assert answer.status_code == 503
    assert "系统繁忙" in answer.text
