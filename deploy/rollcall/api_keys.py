"""API keys of a running system: every app has a face library of its own."""

import json
from pathlib import Path

import click

from rollcall.office import BY, bus_of
from shared.contracts.library import CreateKey, Key, ListKeys, RevokeKey


async def create_key(data: Path, name: str, qps: float | None, *, as_json: bool) -> None:
    """Print a new key of the app `name`; its secret is never shown again."""
    async with bus_of(data) as bus:
        issued = await bus.ask(CreateKey(name=name, qps=qps, by=BY))
    api_key, secret = issued.key.api_key, issued.secret_key.get_secret_value()
    if as_json:
        click.echo(json.dumps({"api_key": api_key, "secret_key": secret}))
        return
    click.echo(f"API Key     {api_key}\nSecret Key  {secret}")
    click.echo(f"App {issued.key.app}, {_limit(issued.key)}. The secret is shown this once.", err=True)


def _limit(key: Key) -> str:
    return f"at most {key.qps:g} calls a second" if key.qps else "no limit of calls"


async def list_keys(data: Path) -> None:
    """Print all keys that hold."""
    keys: list[Key] = []
    async with bus_of(data) as bus:
        while page := (await bus.ask(ListKeys(after=keys[-1].key_id if keys else 0))).keys:
            keys.extend(page)
    for key in keys:
        click.echo(f"{key.api_key:26}{key.created_at:%Y-%m-%d %H:%M}  {key.app:24}{_limit(key)}")
    click.echo(f"{len(keys)} key(s)")


async def revoke_key(data: Path, api_key: str) -> None:
    """The key and every token made with it hold no longer."""
    async with bus_of(data) as bus:
        await bus.ask(RevokeKey(api_key=api_key, by=BY))
    click.echo(f"{api_key} is revoked.")
