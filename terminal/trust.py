"""Whose certificates a terminal believes: those that its machine trusts, and a campus's own authority if it is named.

httpx by itself asks a list that comes with Python packages, which no campus can add to; websockets asks the machine's.
"""

import ssl
from functools import cache
from pathlib import Path


@cache
def trusted(authority: Path | None = None) -> ssl.SSLContext:
    """The machine's authorities, and those of a PEM file. Raises OSError, ssl.SSLError if that cannot be read."""
    context = ssl.create_default_context()
    if authority is not None:
        context.load_verify_locations(authority)
    return context
