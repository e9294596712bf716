"""Run the door: one process, one port."""

from __future__ import annotations

import logging

import uvicorn
from fastapi import FastAPI

HEADER_BYTES_MAX = 16_384
CONNECTIONS_MAX = 1_000


def config(app: FastAPI, host: str, port: int) -> uvicorn.Config:
    """uvicorn's settings: our own log in place of its own, bounded headers and connections, no Server header."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_keep_alive=30,
        limit_concurrency=CONNECTIONS_MAX,
        h11_max_incomplete_event_size=HEADER_BYTES_MAX,
        timeout_graceful_shutdown=10,
    )


def serve(app: FastAPI, host: str = "127.0.0.1", port: int = 8000, *, log_requests: bool = True) -> None:
    """Serve until interrupted. log_requests: one line per request on standard error, else failures alone."""
    log = logging.getLogger("zhitou.http")
    log.setLevel(logging.INFO if log_requests else logging.ERROR)
    if not log.handlers:
        lines = logging.StreamHandler()
        lines.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(lines)
    uvicorn.Server(config(app, host, port)).run()
