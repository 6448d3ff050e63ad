"""Structured logs on stderr: pretty on a terminal, JSON lines otherwise.

The correlation id `trace` (a frame id, or a request id) sits in a context variable; the bus carries it in a
header, so one `grep` follows a frame through every service. No image, embedding, key or token is ever logged.
"""

import logging
import sys

import structlog


def configure(service: str, *, pretty: bool | None = None, level: int = logging.INFO) -> None:
    """Set up logging for this process; called once, by `__main__`.

    Tracebacks are plain: fancier ones print local variables, and those may be passwords.
    """
    if pretty is None:
        pretty = sys.stderr.isatty()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    ending: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if pretty
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    )
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s %(message)s")
