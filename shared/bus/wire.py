"""What goes beside a message: the correlation id, and errors as headers and words."""

import msgpack
import structlog
from nats.aio.msg import Msg

from shared.errors import Internal, RollcallError

ERROR_HEADER = "Rollcall-Error"
TRACE_HEADER = "Rollcall-Trace"


def trace() -> dict[str, str] | None:
    """The correlation id of the work at hand, as a header."""
    found = structlog.contextvars.get_contextvars().get("trace")
    return {TRACE_HEADER: str(found)} if found else None


def context(message: Msg) -> dict[str, str]:
    """The correlation id that came with a message, for the log's context."""
    found = (message.headers or {}).get(TRACE_HEADER)
    return {"trace": found} if found else {}


def encode_error(error: RollcallError) -> tuple[bytes, dict[str, str]]:
    """(body, headers) of an answer that says what went wrong."""
    body: bytes = msgpack.packb({"zh": error.zh, "en": error.en, "field": error.field, "number": error.number})
    return body, {ERROR_HEADER: error.code}


def error_in(message: Msg) -> RollcallError | None:
    """The error that an answer carries, as the class it was raised as; None if it is an answer."""
    code = (message.headers or {}).get(ERROR_HEADER)
    if code is None:
        return None
    try:
        words = msgpack.unpackb(message.data)
        kind = RollcallError.by_code.get(code, Internal)
        return kind(words["zh"], words["en"], field=words["field"], number=words["number"])
    except Exception:
        return Internal("内部错误", f"unreadable error {code!r}")
