"""The pages over a gateway in memory, as a browser sees them."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from gateway.app import create_app
from tests.unit.gateway.pages.gateway_double import GatewayDouble

HOST = "http://localhost"
CHINESE = {"accept": "text/html,*/*;q=0.8", "accept-language": "zh-CN,zh;q=0.9,en;q=0.8"}
ENGLISH = {"accept": "text/html,*/*;q=0.8", "accept-language": "en-GB,en;q=0.9"}
PASSWORD = "correct horse"


@pytest.fixture
def gateway() -> GatewayDouble:
    return GatewayDouble()


@pytest.fixture
def app(gateway: GatewayDouble) -> FastAPI:
    return create_app(gateway)  # type: ignore[arg-type]


def browser_at(app: FastAPI, address: str = "127.0.0.1", host: str = HOST, **headers: str) -> httpx.AsyncClient:
    """A browser of its own cookies, connected from `address`."""
    transport = httpx.ASGITransport(app=app, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url=host, headers={**CHINESE, **headers})


@pytest.fixture
async def browser(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with browser_at(app) as client:
        yield client


def form_token(page: httpx.Response) -> str:
    """The token in the first form of a page."""
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    assert found, page.text[:2_000]
    return found[1]


async def post_form(browser: httpx.AsyncClient, page: str, to: str, **fields: str) -> httpx.Response:
    """Open `page`, fill its form in, submit it to `to`."""
    token = form_token(await browser.get(page))
    return await browser.post(to, data={"form_token": token, **fields})


async def log_in(browser: httpx.AsyncClient, password: str = PASSWORD) -> httpx.Response:
    return await post_form(browser, "/office/login", "/office/login", password=password)


@pytest.fixture
async def office(browser: httpx.AsyncClient, gateway: GatewayDouble) -> httpx.AsyncClient:
    """A browser that is logged in."""
    gateway.registry.password, gateway.registry.password_id = PASSWORD, 1
    assert (await log_in(browser)).status_code == 303
    return browser
