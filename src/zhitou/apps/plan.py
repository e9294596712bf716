"""`zhitou plan`: a day's messages planned from a finished run, compared, explained and handed on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="plan",
    help="Who gets which ad through which channel in which hour: make, diff, explain, export.",
    no_args_is_help=True,
)

Run = Annotated[Path, typer.Option("--out", help="Folder of the run.")]
Folder = Annotated[Path | None, typer.Option("--plan", help="Folder of the plan; without it plan/ below the run.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, for programs.")]


@app.command()
def make(
    out: Run = Path("out"),
    plan: Folder = None,
    settings: Annotated[Path | None, typer.Option(help="TOML with costs, caps, capacities; see docs.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="The plan is the same with any number.")] = 1,
    as_json: Json = False,
) -> None:
    """Plan the day after the run's models end: `zhitou plan make --out out`."""
    from zhitou.core.clock import SystemClock
    from zhitou.loop.planning import PLAN, PlanSettings, make_plan

    chosen = PlanSettings.read(settings) if settings else PlanSettings()
    into = plan or out / PLAN
    told = make_plan(out, SystemClock(), replace(chosen, threads=threads), into)
    if as_json:
        print(json.dumps(told, sort_keys=True))
        return
    money = told["currency"]
    print(f"{told['messages']:,} messages to {told['shoppers_reached']:,} of {told['shoppers']:,} shoppers")
    print(
        f"worth {told['total_micros'] / 1e6:,.2f} {money} after costs of {told['cost_micros'] / 1e6:,.2f}; no plan "
        f"is worth more than {told['bound_micros'] / 1e6:,.2f}, so it lacks {told['bound_gap']:.2%} at most"
    )
    for name, channel in told["channels"].items():
        top = max(channel["slot_price_micros"]) / 1e6
        room = sum(channel["capacity"])
        print(f"  {name:<8} {channel['messages']:>9,} of {room:>11,}  dearest slot {top:.4f} {money}")
    print("alternatives: " + ", ".join(f"{name} {count:,}" for name, count in told["alternatives"].items() if count))
    print(f"rules broken: {sum(told['violations'].values())}; wrote {into}")


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(help="Folder of the first plan.")],
    after: Annotated[Path, typer.Argument(help="Folder of the second plan.")],
    changes: Annotated[Path | None, typer.Option(help="CSV of every message that only one plan has.")] = None,
    as_json: Json = False,
) -> None:
    """What changed between two plans, shoppers and money: `zhitou plan diff out/plan out/plan2`."""
    from dataclasses import asdict

    from zhitou.loop.planning import export_csv, read_messages
    from zhitou.strategy.plan_table import diff as compare

    found = compare(read_messages(before), read_messages(after))
    if changes:
        export_csv(found.changes, changes)
    shoppers = {name: getattr(found, name) for name in ("same", "changed", "only_before", "only_after")}
    if as_json:
        moved = {by: {n: asdict(m) for n, m in getattr(found, by).items()} for by in ("channels", "campaigns")}
        print(json.dumps({"shoppers": shoppers, **moved}, sort_keys=True))
        return
    print("shoppers: " + ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in shoppers.items()))
    for by in ("channels", "campaigns"):
        for name, m in getattr(found, by).items():
            (n0, n1), (c0, c1), (v0, v1) = m.messages, m.cost_micros, m.value_micros
            cost, value = (c1 - c0) / 1e6, (v1 - v0) / 1e6
            print(f"  {name:<28} messages {n0:,} -> {n1:,}   cost {cost:+,.2f}   value {value:+,.2f}")


@app.command()
def explain(
    shopper: Annotated[str, typer.Argument(help="Pseudonym of a shopper.")],
    out: Run = Path("out"),
    plan: Folder = None,
    every_slot: Annotated[bool, typer.Option(help="All hours instead of the best of each ad and channel.")] = False,
    as_json: Json = False,
) -> None:
    """Why a shopper gets what he gets, alternative by alternative: `zhitou plan explain PSEUDONYM`."""
    from dataclasses import asdict

    from zhitou.core.clock import SystemClock
    from zhitou.loop.planning import PLAN, read_plan, row_of
    from zhitou.strategy.plan_explain import explain as tell

    made, problem = read_plan(plan or out / PLAN, out, SystemClock())
    lines = tell(made, problem, row_of(problem, shopper), every_slot=every_slot)
    if as_json:
        print(json.dumps([asdict(line) for line in lines]))
        return
    heads = " ".join(f"{name:>8}" for name in ("cost", "fatigue", "slot", "budget"))
    print(f"{'ad':<28} {'channel':<8} {'hour':>4} {'worth':>9} {heads}  why")
    for line in lines:
        micros = (line.worth_micros, line.cost_micros, line.fatigue_micros)
        prices = (line.slot_price_micros, line.budget_price_micros)
        worth, *rest = (f"{m / 1e6:.4f}" for m in (*micros, *prices))
        print(
            f"{line.ad:<28} {line.channel:<8} {line.local_hour:>4} {worth:>9} "
            + " ".join(f"{cell:>8}" for cell in rest)
            + f"  {line.reason}: {line.sentence}"
        )


@app.command()
def export(
    to: Annotated[Path, typer.Argument(help="File to write: .csv or .parquet.")],
    out: Run = Path("out"),
    plan: Folder = None,
) -> None:
    """Hand the messages on to whoever sends them: `zhitou plan export messages.csv`."""
    from zhitou.core.errors import ConfigError
    from zhitou.core.files import replace_whole
    from zhitou.loop.planning import MESSAGES_FILE, PLAN, export_csv, read_messages

    folder = plan or out / PLAN
    table = read_messages(folder)
    if to.suffix == ".csv":
        export_csv(table, to)
    elif to.suffix == ".parquet":
        replace_whole(to, (folder / MESSAGES_FILE).read_bytes())
    else:
        raise ConfigError(f"expected a file that ends in .csv or .parquet, got {to.name!r}")
    print(f"wrote {len(table):,} messages to {to}")
