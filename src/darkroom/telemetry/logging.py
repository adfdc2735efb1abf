"""Logs: one line for every event, readable on a terminal, JSON elsewhere. They go to standard error."""

import logging
import sys
from typing import Literal

import structlog


def set_up(level: str, form: Literal["auto", "text", "json"]) -> None:
    """Send our own logs and those of the libraries through one chain."""
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    renderer = structlog.dev.ConsoleRenderer() if as_text else structlog.processors.JSONRenderer()
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([] if as_text else [structlog.processors.format_exc_info]),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # These tell at INFO of each connection, query plan and migration.
    for name in ("alembic", "asyncssh", "qemu.qmp", "httpx2", "dbos", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").addFilter(_is_true)


def _is_true(record: logging.LogRecord) -> bool:
    """uvicorn takes a WebSocket that was refused with an answer of its own for one that was forgotten."""
    return record.msg != "ASGI callable returned without completing handshake."
