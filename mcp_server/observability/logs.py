"""Structured logs on stderr; stdout belongs to the protocol."""

import logging
import sys
from typing import Any, Literal

import structlog


def configure_logs(level: str, form: Literal["json", "console"]) -> None:
    """Send structlog's and the standard library's records to stderr, one line each.

    Args:
        level: debug, info, warning or error.
        form: `json` for machines, `console` for people.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    renderer: Any = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    # The SDK logs each refusal at INFO with the caller's own text; ours carries the correlation id.
    logging.getLogger("mcp").setLevel(max(threshold, logging.WARNING))
    for chatty in ("httpx", "asyncio", "aiosqlite", "sse_starlette"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))
