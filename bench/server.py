"""How fast is one decision over HTTP, on one core?

    python bench/server.py [--quick] [--out out] [--example]

Starts the server in a process of its own, pinned to one core with one thread per library, and asks it over one
kept connection on the loopback from another process. The service is the one that `make demo` left in --out (its
store and ledger are new ones in a temporary folder, so that nothing of yours is written to); --example takes the
tea shop of three ads instead, which shows what the HTTP stack alone costs. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lines import last_line

REPOSITORY = Path(__file__).parents[1]
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
START_SECONDS_MAX = 120
WARM_UP = 50
BATCH_EVENTS = 500
SHOPPERS = 2_000
OWN_FILES = ("store.sqlite", "ledger.sqlite")  # what a running server writes


class Connection:
    """One kept HTTP/1.1 connection on a plain socket: next to nothing of the measured time is the client's."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = f"Host: 127.0.0.1\r\nX-Api-Key: {key}\r\nContent-Type: application/json\r\n"

    def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """(status, body) of one request."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(body)}\r\n\r\n"
        self._socket.sendall(head.encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._receive()
        top, _, rest = received.partition(b"\r\n\r\n")
        length = int(top.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(rest) < length:
            rest += self._receive()
        return int(top[9:12]), rest

    def json(self, method: str, path: str, value: Any = None) -> Any:
        """The answer of a request that must succeed."""
        status, answer = self.call(method, path, b"" if value is None else json.dumps(value).encode())
        assert status == 200, f"{method} {path} answered {status}: {answer[:500]!r}"
        return json.loads(answer)

    def _receive(self) -> bytes:
        data = self._socket.recv(262_144)
        assert data, "the server closed the connection"
        return data

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="end within 50 seconds")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out", help="folder that `make demo` filled")
    parser.add_argument("--example", action="store_true", help="serve the tea shop of three ads")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, None if given.example else given.out)
        return
    if not given.example and not (given.out / "run.json").exists():
        sys.exit(
            f"expected a trained shop in {given.out}; run `make demo` first, or measure the stack with --example"
        )
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[1]})
    figures: dict[str, Any] = {"quick": given.quick, "cores": len(cores)}
    with server(cores[0], None) as connection:
        figures["stack_ms_p50"] = decisions(connection, 300 if given.quick else 2_000)["decision_ms_p50"]
    with server(cores[0], None if given.example else given.out) as connection:
        figures |= measure(connection, given.quick)
    report(figures)


def measure(connection: Connection, quick: bool) -> dict[str, Any]:
    """All figures of one server."""
    figures: dict[str, Any] = {"ads": connection.json("GET", "/readyz")["ads"]}
    figures["noop_per_s"] = round(rate(lambda: connection.call("GET", "/healthz"), 1_000 if quick else 5_000))
    figures |= decisions(connection, 500 if quick else 3_000)
    items = sorted({ad["item"] for ad in ask(connection, 0)["ads"]})
    figures["decision_after_event_ms_p50"] = after_event(connection, items[0], 60 if quick else 300)
    figures["ingest_events_per_s"] = ingest(connection, items, 10 if quick else 60)
    return figures


def ask(connection: Connection, number: int) -> Any:
    """One decision for one of the shoppers."""
    asked = {"subject": str(1 + number % SHOPPERS), "size": "300x250", "slots": 2, "placement": "home"}
    return connection.json("POST", "/v1/decisions", asked)


def decisions(connection: Connection, count: int) -> dict[str, float]:
    """Times of single decisions, one after the other, for ever new shoppers."""
    for number in range(WARM_UP):
        ask(connection, number)
    times = sorted(timed(lambda n=number: ask(connection, n)) for number in range(WARM_UP, WARM_UP + count))
    return {
        "decision_ms_p50": round(times[count // 2] * 1e3, 3),
        "decision_ms_p99": round(times[count * 99 // 100] * 1e3, 3),
        "decisions_per_s": round(count / sum(times), 1),
    }


def after_event(connection: Connection, item: str, count: int) -> float:
    """The decision right behind a view of the same shopper: what changed must be taken in first."""
    times = []
    for number in range(count):
        connection.json("POST", "/v1/events", {"events": [view(f"after-{number}", number, item)]})
        times.append(timed(lambda n=number: ask(connection, n)))
    return round(sorted(times)[count // 2] * 1e3, 3)


def ingest(connection: Connection, items: list[str], batches: int) -> int:
    """New events a second, in batches, each on disk before it is acknowledged."""
    bodies = []
    for batch in range(batches):
        numbers = range(batch * BATCH_EVENTS, (batch + 1) * BATCH_EVENTS)
        bodies.append({"events": [view(f"in-{n}", n, items[n % len(items)]) for n in numbers]})
    spent = sum(timed(lambda b=body: connection.json("POST", "/v1/events", b)) for body in bodies)
    assert connection.json("POST", "/v1/events", bodies[0])["duplicates"] == BATCH_EVENTS, "a batch was not kept"
    return round(batches * BATCH_EVENTS / spent)


def view(event_id: str, number: int, item: str) -> dict[str, Any]:
    """One event of one of the shoppers, a moment ago."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {
        "event_id": event_id,
        "kind": "view",
        "subject": str(1 + number % SHOPPERS),
        "item": item,
        "occurred_at": now,
    }


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def rate(call: Callable[[], Any], count: int) -> float:
    """Calls a second, one after the other."""
    return count / sum(timed(call) for _ in range(count))


@contextmanager
def server(core: int, out: Path | None) -> Iterator[Connection]:
    """A server on a free port and this core; out: the shop's folder, None for the example."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    key = os.urandom(16).hex()
    with tempfile.TemporaryDirectory() as scratch:
        command = ["taskset", "-c", str(core), sys.executable, __file__, "--serve", str(port)]
        command += ["--example"] if out is None else ["--out", str(shadow(out, Path(scratch)))]
        process = subprocess.Popen(command, env={**os.environ, **THREADS, "BENCH_KEY": key})
        try:
            connection = _connected(port, key, process)
            yield connection
            connection.close()
        finally:
            process.terminate()
            process.wait(20)


def shadow(out: Path, scratch: Path) -> Path:
    """A folder that shows everything in `out` but what a server writes."""
    for path in out.iterdir():
        if not path.name.startswith(OWN_FILES):
            (scratch / path.name).symlink_to(path.resolve())
    return scratch


def _connected(port: int, key: str, process: subprocess.Popen[bytes]) -> Connection:
    end = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < end and process.poll() is None:
        try:
            return Connection(port, key)
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit(f"the server did not start within {START_SECONDS_MAX} s; its messages stand above")


def serve(port: int, out: Path | None) -> None:
    """The server process."""
    import hashlib

    from zhitou.apps.http.app import create_app
    from zhitou.apps.http.example import TeaShop
    from zhitou.apps.http.server import serve as run
    from zhitou.apps.http.settings import ROLES, ApiKey, HttpSettings

    if out is None:
        service: Any = TeaShop()
    else:
        from zhitou.assembly import open_service

        service = open_service(out)
    digest = hashlib.sha256(os.environ["BENCH_KEY"].encode()).hexdigest()
    tenant = getattr(getattr(service, "pseudonyms", None), "tenant", "example")
    key = ApiKey("bench", frozenset(ROLES), digest)
    settings = HttpSettings(
        tenant=tenant, link_key=os.urandom(32), keys=(key,), public_url=f"http://127.0.0.1:{port}"
    )
    run(create_app(service, settings), port=port, log_requests=False)


def report(figures: dict[str, Any]) -> None:
    """The table, and the last line for programs."""
    rows = [
        ("ads to choose from", "ads"),
        ("decision, p50 ms", "decision_ms_p50"),
        ("decision, p99 ms", "decision_ms_p99"),
        ("decisions a second", "decisions_per_s"),
        ("decision right after an event, p50 ms", "decision_after_event_ms_p50"),
        ("decision of the three-ad example (the stack), p50 ms", "stack_ms_p50"),
        ("no-op requests a second", "noop_per_s"),
        ("events taken in a second", "ingest_events_per_s"),
    ]
    for title, name in rows:
        print(f"{title:<55}{figures[name]:>12,}")
    last_line("server", figures)



if __name__ == "__main__":
    main()
