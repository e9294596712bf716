"""The command line: `zhitou COMMAND --help` shows an example of each.

Exit codes: 0 done; 1 refused or a check failed; 2 the command was called wrongly.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from zhitou.apps.experiment import experiment
from zhitou.apps.plan import app as plan
from zhitou.apps.simulate import simulate
from zhitou.core.errors import ConfigError, ZhitouError

# Idle threads sleep instead of spinning: on a machine that is shared, training is many times faster. Set before
# torch is imported, since it is read once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The libraries under the data engine warn their own developers; a user can do nothing about it.
for _module in ("ibis", "duckdb", "pandas"):
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=rf"{_module}\b")
    warnings.filterwarnings("ignore", category=FutureWarning, module=rf"{_module}\b")

app = typer.Typer(
    name="zhitou",
    help="Closed-loop ad delivery: behaviour in, ads out, feedback back, and the lift with its interval.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

app.add_typer(experiment, name="experiment")
app.add_typer(plan)
app.command()(simulate)

Out = Annotated[Path, typer.Option("--out", help="Folder of the run; everything is written below it.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same decisions to the byte.")]
Data = Annotated[Path | None, typer.Option("--data", help="Your file or folder; without it The Complete Journey.")]
Mapping = Annotated[
    Path | None, typer.Option("--mapping", help='Mapping file, or "segment" for Segment JSONL; see docs/events.md.')
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for programs.")]


@app.command()
def demo(
    out: Out = Path("out"),
    seed: Seed = 1,
    seeds: Annotated[int, typer.Option(min=2, help="Worlds in the study.")] = 10,
    as_json: Json = False,
) -> None:
    """The whole loop on real data, with lift and its interval: `zhitou demo`."""
    _loop(out, seed, seeds, None, None, as_json)


@app.command()
def run(
    data: Annotated[Path, typer.Option("--data", help="Your file or folder of behaviour.")],
    mapping: Annotated[Path, typer.Option("--mapping", help='Mapping file, or "segment".')],
    out: Out = Path("out"),
    seed: Seed = 1,
    seeds: Annotated[int, typer.Option(min=2, help="Worlds in the study.")] = 10,
    as_json: Json = False,
) -> None:
    """The same loop on your own files: `zhitou run --data orders.csv.gz --mapping mapping.toml`."""
    _loop(out, seed, seeds, data, mapping, as_json)


def _loop(out: Path, seed: int, seeds: int, data: Path | None, mapping: Path | None, as_json: bool) -> None:
    from zhitou import configs
    from zhitou.core.clock import SystemClock
    from zhitou.loop.report import write_report
    from zhitou.loop.run import as_json as to_json
    from zhitou.loop.run import run_loop

    config = configs.laptop(seed) if data is None else configs.own_data(seed)
    config = replace(config, study=replace(config.study, seeds=seeds))
    outcome = run_loop(config, out, _narrator(as_json), SystemClock(), data, mapping)
    write_report(outcome)
    if as_json:
        print(to_json(outcome))


@app.command()
def check(data: Data = None, mapping: Mapping = None, as_json: Json = False) -> None:
    """Named checks with PASS or FAIL and counts, writing nothing: `zhitou check --data x.csv --mapping m.toml`."""
    from zhitou.core.clock import SystemClock
    from zhitou.events.checks import check as run_checks
    from zhitou.loop.s1_behaviour import collect

    raw = collect(_narrator(True), data, mapping)
    checks = run_checks(raw, clock_us=SystemClock().now_us())
    if as_json:
        rows = [
            {"name": c.name, "passed": c.passed, "count": c.count, "of": c.total, "text": c.sentence} for c in checks
        ]
        print(json.dumps({"source": raw.name, "checks": rows}))
    else:
        for item in checks:
            mark = "PASS" if item.passed else "FAIL"
            print(f"{mark}  {item.name:<28} {item.count:>10,} of {item.total:>10,}  {item.sentence}")
    if not all(c.passed for c in checks):
        raise typer.Exit(1)


@app.command()
def prepare(out: Out = Path("out"), seed: Seed = 1, data: Data = None, mapping: Mapping = None) -> None:
    """Clean behaviour into Parquet with a report of its quality: `zhitou prepare --out out`."""
    from zhitou import configs
    from zhitou.assembly import PREPARED, pseudonyms, write_run
    from zhitou.core.clock import SystemClock
    from zhitou.loop.s1_behaviour import collect
    from zhitou.loop.s2_preprocess import preprocess

    config, narrator = configs.laptop(seed) if data is None else configs.own_data(seed), _narrator(False)
    raw = collect(narrator, data, mapping)
    preprocess(narrator, raw, out / PREPARED, pseudonyms(config, out), config, SystemClock())
    write_run(out, config, raw.name, {})


@app.command()
def features(out: Out = Path("out")) -> None:
    """Tags, segments and association rules of prepared behaviour: `zhitou features --out out`."""
    from zhitou.assembly import FEATURES, open_shop, read_run
    from zhitou.core.clock import SystemClock
    from zhitou.loop.s3_features import mine

    mine(_narrator(False), open_shop(read_run(out)[0], out, SystemClock()), out / FEATURES)


@app.command()
def train(out: Out = Path("out")) -> None:
    """Train the interest model; a stopped training is taken up again: `zhitou train --out out`.

    In several processes: `torchrun --nproc-per-node 2 -m zhitou.apps.cli train --out out`.
    """
    from zhitou.assembly import INTEREST, open_shop, read_run
    from zhitou.core.clock import SystemClock
    from zhitou.learning.parallel import joined
    from zhitou.loop.s4_train import learn

    with joined() as me:
        shop = open_shop(read_run(out)[0], out, SystemClock())
        learn(_narrator(not me.first), shop, out / INTEREST, resume=True)


@app.command()
def explain(
    decision_id: Annotated[str, typer.Argument(help="An id from a receipt, an answer or the report.")],
    out: Out = Path("out"),
    as_json: Json = False,
) -> None:
    """Why a decision came out as it did, and whether its record replays to the bit: `zhitou explain d_…`."""
    from zhitou.core.errors import NotFoundError
    from zhitou.delivery.explain import for_advertiser
    from zhitou.delivery.receipt import from_bytes, matches
    from zhitou.delivery.store import read_decision

    path = out / "store.sqlite"
    if not path.exists():
        raise NotFoundError(f"expected decisions in {path}, found none; run `zhitou demo --out {out}` first")
    data = read_decision(path, decision_id)
    if data is None:
        raise NotFoundError(f"decision {decision_id!r} is not in {path}")
    record = from_bytes(data)
    if as_json:
        print(data.decode())
        return
    for line in for_advertiser(record):
        print(line)
    print("replay: " + ("identical to the record" if matches(record) else "DIFFERENT from the record"))


@app.command()
def serve(
    out: Out = Path("out"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    public_url: Annotated[str, typer.Option(help="How browsers reach this server.")] = "",
    key: Annotated[str, typer.Option(help="Name of a new API key to make and print.")] = "",
) -> None:
    """Open the shop of a finished run over HTTP: `zhitou serve --out out`."""
    from zhitou.apps.http import settings as door
    from zhitou.apps.http.app import create_app
    from zhitou.apps.http.server import serve as listen
    from zhitou.apps.http.settings import HttpSettings, add_key, load_keys
    from zhitou.assembly import RESPONSE, open_service
    from zhitou.feedback.registry import Registry
    from zhitou.loop.follow import following

    service, folder = open_service(out), out / "server"
    if key or not load_keys(folder):
        print(f"API key (shown once, kept as a hash in {folder}): {add_key(folder, key or 'first')}", flush=True)
    url = public_url or f"http://{host}:{port}"
    settings = HttpSettings(
        tenant=service.pseudonyms.tenant,
        link_key=door.load_or_create_link_key(folder),
        address_key=door.load_or_create_address_key(folder),
        keys=load_keys(folder),
        public_url=url,
        hosts=tuple({"127.0.0.1", "localhost", "[::1]", host}),
    )
    for name, value in service.ready().items():
        print(f"{name}: {value}")
    print(f"report: {url}/   interface: {url}/docs   stop with Ctrl-C", flush=True)
    try:
        with following(service, Registry(out / RESPONSE), out):
            listen(create_app(service, settings), host, port)
    finally:
        service.close()


@app.command()
def optimise(
    out: Out = Path("out"),
    every: Annotated[str, typer.Option(help="Time between two rounds, such as 15m; without it one round.")] = "",
    shadow: Annotated[int, typer.Option(min=0, help="Requests that a candidate scores unseen; 0: none.")] = 1_000,
    rows: Annotated[int, typer.Option(min=1, help="New shown ads before a candidate is trained.")] = 1_000,
    clicks_within: Annotated[str, typer.Option(help="How long after an ad a click counts.")] = "10m",
    as_json: Json = False,
) -> None:
    """Learn from what an open shop served, and promote or roll back on evidence: `zhitou optimise --every 15m`.

    Works beside `zhitou serve` on the same folder. Ctrl-C ends it after the step that runs; start it again to go on.
    """
    from zhitou.apps.pace import SignalledPace, seconds_of
    from zhitou.core.clock import SystemClock
    from zhitou.loop.optimise import Plan
    from zhitou.loop.schedule import open_schedule, run_schedule

    every_s, plan = seconds_of(every) if every else None, Plan(shadow_requests=shadow, rows_least=rows)
    narrator = _narrator(as_json)
    with open_schedule(out, SystemClock(), narrator, plan, click_seconds=seconds_of(clicks_within)) as schedule:
        pace = SignalledPace()
        run_schedule(schedule, pace, every_s)
        record = schedule.optimiser.last
    if as_json:
        print(json.dumps(record, sort_keys=True))


@app.command()
def models(out: Out = Path("out"), as_json: Json = False) -> None:
    """Which response model is in use, which were, and why: `zhitou models --out out`."""
    from zhitou.assembly import RESPONSE
    from zhitou.feedback.registry import Registry

    registry = Registry(out / RESPONSE)
    history, refused = registry.history(), registry.refusals()
    if as_json:
        roles = {"champion": registry.champion(), "shadow": registry.shadow()}
        told = {"history": [vars(change) for change in history], "refused": [vars(refusal) for refusal in refused]}
        print(json.dumps(roles | told))
        return
    lines = [(c.at_us, f"{c.action:<9} {c.after}  {c.reason}") for c in history]
    lines += [(r.at_us, f"{'refuse':<9} {r.version}  {r.reason}") for r in refused]
    for _, line in sorted(lines, key=lambda pair: pair[0]):
        print(line)
    print(f"in use: {registry.champion() or 'none'}   in the shadow: {registry.shadow() or 'none'}")


def _narrator(quiet: bool):  # type: ignore[no-untyped-def]
    from zhitou.loop.narrator import Narrator

    return Narrator(quiet=quiet)


def main() -> None:
    """Entry point of `zhitou`: what a user can mend is one line on standard error, not a traceback."""
    try:
        app(standalone_mode=True)
    except ConfigError as error:
        Console(stderr=True).print(f"[bold red]{error.code}[/bold red]: {error}", highlight=False)
        sys.exit(2)
    except ZhitouError as error:
        Console(stderr=True).print(f"[bold red]{error.code}[/bold red]: {error}", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
