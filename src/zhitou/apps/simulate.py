"""`zhitou simulate`: what-if questions about the shop's own log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def simulate(
    out: Annotated[Path, typer.Option("--out", help="Folder of the run whose log is asked.")] = Path("out"),
    campaign: Annotated[str, typer.Option(help="Id of the campaign that is changed; without it all of them.")] = "",
    budget: Annotated[float, typer.Option(help="Factor on its budget: 1.2 is 20 % more.")] = 1.0,
    bid: Annotated[float, typer.Option(help="Factor on its bid.")] = 1.0,
    cap: Annotated[int, typer.Option(min=-1, help="Impressions a shopper and day at most; -1: as it is.")] = -1,
    rivals: Annotated[float, typer.Option(help="Factor on the other campaigns' bids.")] = 1.0,
    clicks_within: Annotated[str, typer.Option(help="How long after an ad a click counts.")] = "10m",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """What would have been, from the shop's own log: `zhitou simulate --campaign c_… --budget 1.5`.

    Tells impressions, clicks and spend with their intervals, the error of such answers on the log's own past, and
    "inconclusive" where the log cannot tell.
    """
    from zhitou.apps.pace import seconds_of
    from zhitou.core.clock import SystemClock
    from zhitou.loop.simulate import Question, lines_of, plain
    from zhitou.loop.simulate import simulate as answer

    question = Question(campaign, budget, bid, None if cap < 0 else cap, rivals)
    told = answer(out, question, SystemClock(), click_seconds=seconds_of(clicks_within))
    if as_json:
        print(json.dumps(plain(told), sort_keys=True))
        return
    for line in lines_of(told):
        print(line)
