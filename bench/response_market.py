"""Click prediction where the truth is known: a stream of the practice market, and the practice rows of response/.

    python bench/response_market.py [--run out] [--days 28] [--visits 60] [--practice 1000000]
    python bench/response_market.py --catboost PYTHON --fuxictr PYTHON --deepctr PYTHON --settings 1
    python bench/response_market.py --worlds 1 2 3           # zhitou alone, in worlds of these seeds
    python bench/response_market.py --quick                  # three days, 100,000 practice rows, two settings

The market is fitted to The Complete Journey before its cut and then shows two random ads at every visit (--visits a
week of an average shopper, six times the market's own 10, so that clicks suffice). By time 60 % of the rows teach,
20 % stop, choose and calibrate, 20 % judge. Beside the models stand the truth (what nobody can know: true tastes,
whims, drift) and "observable": the expectation of one who knows how the market works, every ad's own pull and every
type's hours, and of the shoppers what they bought. The practice rows have no hidden part, so there the truth is the
limit. Peers learn from all clicks and 20 unclicked rows to a click; their odds are put back exactly. They run under
the Pythons that are named (bench/peers/requirements-*.txt); without one the line says "not run".

Printed: normalised entropy (NE) and AUC expected under the truth, NE minus that of zhitou deep with an interval over
shoppers, predicted over true clicks of all rows and of auctions won by predicted value, calibration error against the
truth, the worst segment of 10,000 rows, segments of 200 clicks more than 10 % off, CPU seconds of learning; then the
goals, reached or not; then speed. The last line is JSON.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lines import last_line
from response_market_figures import Figures, expected_auc, expected_losses, measure
from response_market_models import PEERS, Answer, Split, logistic, ours, peers, trees
from response_market_stream import Stream, make_stream, open_journey

from zhitou.core.chance import Chance
from zhitou.evaluation.classification import entropy
from zhitou.response.compare import in_slots
from zhitou.response.deep import DeepResponse
from zhitou.response.deep_fit import fit_deep
from zhitou.response.practice import practice
from zhitou.response.train import fit_response

CANDIDATES, REQUESTS = 1_000, 1_000
JUDGED = 200_000  # practice rows that judge


def main() -> None:
    """Play, learn, measure, print."""
    args = _arguments()
    figures: dict[str, Any] = {}
    if args.worlds:
        last_line("response_market", {"days": args.days, "visits": args.visits, **worlds(args)})
        return
    with tempfile.TemporaryDirectory() as made:
        for shop in open_journey(args.run):
            stream = make_stream(shop, args.days, args.visits, args.seed)
        figures |= market(stream, args, Path(made))
    figures |= practice_rows(args.practice, args.seed)
    last_line("response_market", {"days": args.days, "visits": args.visits, "seed": args.seed, **figures})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a demo's run; without it the data is prepared anew")
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--visits", type=float, default=60.0, help="a week, of an average shopper")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--settings", type=int, default=4, help="settings that each model other than ours tries")
    parser.add_argument("--epochs", type=int, default=5, help="at most, of the networks of peers")
    parser.add_argument("--practice", type=int, default=1_000_000, help="practice rows that teach; 0: none")
    parser.add_argument("--worlds", type=int, nargs="+", help="seeds of worlds for zhitou alone; nothing else is run")
    parser.add_argument("--quick", action="store_true", help="three days, 100,000 practice rows, two settings")
    for peer in PEERS:
        parser.add_argument(f"--{peer}", type=Path, help=f"the Python of an environment with {peer}")
    args = parser.parse_args()
    if args.quick:
        args.days, args.practice, args.settings = 3, 100_000, 2
    return args


def market(stream: Stream, args: argparse.Namespace, made: Path) -> dict[str, Any]:
    """The table of the stream, its goals and the speed of learning and serving."""
    rows = stream.rows
    print(
        f"{len(rows):,} impressions, {int(rows.clicked.sum()):,} clicks, {len(rows.names)} fields, {args.days} days"
    )
    split = Split.of(rows, stream.side, 20, Chance(args.seed))
    answers, deep = ours(split, len(split.valid) / (len(split.train) + len(split.valid)))
    answers |= {"logistic": logistic(split), "LightGBM": trees(split, args.settings)}
    found, notes = peers(split, {name: getattr(args, name) for name in PEERS}, made, args.settings, args.epochs)
    answers |= found
    test, truth = split.test, stream.truth[split.test]
    answers |= {"observable": Answer(stream.observable[test], 0.0), "truth": Answer(truth, 0.0)}
    told = _table(stream, split, answers)
    for name, note in notes.items():
        print(f"{name:14} {note}")
    print(f"network: gate {deep.gates[0]} on the click, {deep.gates[1]} on the conversion; {deep.figures}")
    spent = {name: answers[name].cpu_s for name in ("zhitou deep", "zhitou line", "LightGBM")}
    taught = len(split.train) + len(split.valid)
    speed = {"rows_per_cpu_s": taught / spent["zhitou deep"], "line_rows_per_cpu_s": taught / spent["zhitou line"]}
    speed |= serve(deep, stream)
    print(
        f"\ndeep learns {speed['rows_per_cpu_s']:,.0f} rows a CPU s (line {speed['line_rows_per_cpu_s']:,.0f}); "
        f"{CANDIDATES:,} candidates in {speed['score_ms_p50']:.2f} ms CPU, p99 {speed['score_ms_p99']:.2f}"
    )
    figures = {"rows": len(rows), "clicks": int(rows.clicked.sum()), "gate": deep.gates[0]}
    return {**figures, **_goals(told, truth, answers), **_flat(told, answers), **_rounded(speed)}


def worlds(args: argparse.Namespace) -> dict[str, Any]:
    """zhitou's two models in several worlds, each beside what is observable there; print them and their means."""
    figures: dict[str, Any] = {"worlds": len(args.worlds)}
    told: dict[str, list[list[float]]] = {}
    print(f"{'world':>6} {'model':12}{'log loss over observable':>26}{'AUC below':>11}{'ratio':>8}{'rows/CPU s':>14}")
    for seed in args.worlds:
        for shop in open_journey(args.run):
            stream = make_stream(shop, args.days, args.visits, seed)
        split = Split.of(stream.rows, stream.side, 20, Chance(args.seed))
        taught = len(split.train) + len(split.valid)
        truth, limit = stream.truth[split.test], stream.observable[split.test]
        answers, _ = ours(split, len(split.valid) / taught)
        answers["observable"] = Answer(limit, 0.0)
        for name in ("zhitou line", "zhitou deep", "observable"):
            p, cpu_s = answers[name].p, answers[name].cpu_s
            over = float(expected_losses(truth, p).mean() / expected_losses(truth, limit).mean() - 1)
            below, ratio = expected_auc(truth, limit) - expected_auc(truth, p), float(p.sum() / truth.sum())
            told.setdefault(name, []).append([over, below, ratio, taught / cpu_s if cpu_s else 0.0])
            print(f"{seed:6} {name:12}{over:26.2%}{below:11.4f}{ratio:8.3f}{told[name][-1][3]:14,.0f}", flush=True)
    for name, rows in told.items():
        over, below, ratio, speed = np.mean(rows, 0).tolist()
        apart = float(np.sqrt(np.mean(np.log(np.asarray(rows)[:, 2]) ** 2)))
        print(f"  mean {name:12}{over:26.2%}{below:11.4f}{ratio:8.3f}{speed:14,.0f}   level off by {apart:.3f} (rms)")
        key = name.replace(" ", "_")
        numbers = {"over": over, "auc_below": below, "ratio": ratio, "level_rms": apart, "rows_per_cpu_s": speed}
        figures |= _rounded({f"{key}_{k}": v for k, v in numbers.items()})
    return figures


def _table(stream: Stream, split: Split, answers: dict[str, Answer]) -> dict[str, Figures]:
    """Measure and print every model, on the rows that judge."""
    test, side = split.test, stream.side
    ad = stream.rows.ad[test]
    codes = side.ads.codes[ad]
    names = side.ads.names
    segments = {
        "slot": stream.rows.slot[test],
        "campaign": codes[:, names.index("campaign")],
        "category": codes[:, names.index("category")],
        "hour": side.requests.codes[side.request[test], 0],
        "decile": stream.decile[test],
    }
    value = stream.bid_micros[ad].astype(np.float64)
    shopper, first = side.requests.shopper[side.request[test]], answers["zhitou deep"].p
    told = {
        name: measure(stream.truth[test], answer.p, first, shopper, segments, value, Chance(1))
        for name, answer in answers.items()
    }
    print(
        f"\n{'model':18}{'NE':>8}{'NE - deep':>28}{'AUC':>8}{'ratio':>7}{'won':>7}{'ece':>9}"
        f"{'worst segment':>26}{'fields off':>12}{'CPU s':>7}"
    )
    for name, f in told.items():
        gap = f"{f.behind[0]:+.4f} [{f.behind[1]:+.4f}, {f.behind[2]:+.4f}]"
        worst = f"{f.segment[0]} {f.segment[1]:+.1%}"
        print(
            f"{name:18}{f.ne:8.4f}{gap:>28}{f.auc:8.4f}{f.ratio:7.3f}{f.won:7.3f}{f.ece:9.5f}"
            f"{worst:>26}{f'{f.fields_off[0]} of {f.fields_off[1]}':>12}{answers[name].cpu_s:7.1f}"
        )
    return told


def _goals(told: dict[str, Figures], truth: np.ndarray, answers: dict[str, Answer]) -> dict[str, Any]:
    """What was hoped for, beside what came; print both."""
    deep, seen, rate = told["zhitou deep"], told["observable"], float(truth.mean())
    excess = deep.ne / seen.ne - 1
    goals = {
        "log loss over observable": (f"{excess:+.2%}", excess <= 0.003),
        "AUC below observable": (f"{seen.auc - deep.auc:.4f}", seen.auc - deep.auc <= 0.002),
        "NE over that of the truth": (f"{deep.ne / told['truth'].ne - 1:+.2%}", deep.ne / told["truth"].ne <= 1.02),
        "calibration error": (f"{deep.ece:.5f}, rate {rate:.4f}", deep.ece <= 0.001),
        "worst segment": (f"{deep.segment[1]:+.1%}", abs(deep.segment[1]) <= 0.02),
        "ratio of all": (f"{deep.ratio:.3f}", 0.98 <= deep.ratio <= 1.02),
        "ratio of won": (f"{deep.won:.3f}", 0.98 <= deep.won <= 1.02),
        "fields more than 10 % off": (f"{deep.fields_off[0]}", deep.fields_off[0] == 0),
        "best of all models": ("", all(f.ne >= deep.ne for n, f in told.items() if n not in ("observable", "truth"))),
    }
    print("\nzhitou deep, goals:")
    for name, (came, reached) in goals.items():
        print(f"  {name:28}{came:>24}   {'reached' if reached else 'not reached'}")
    return {"goals_missed": [name for name, (_, reached) in goals.items() if not reached]}


def serve(deep: DeepResponse, stream: Stream) -> dict[str, float]:
    """Milliseconds of CPU of one request's CANDIDATES ads, on one core: median and 99th percentile."""
    draw = Chance(1).stream("serve")
    rows, side = stream.rows, stream.side
    bound = deep.for_ads(draw.integers(0, len(side.ads.codes), CANDIDATES))
    taken = []
    for _ in range(REQUESTS):
        fields = rows.fields[draw.integers(0, len(rows), CANDIDATES)][None]
        request = side.requests.select(draw.integers(0, len(side.requests), 1))
        begun = time.process_time_ns()
        bound.at(request).predict(fields)
        taken.append((time.process_time_ns() - begun) / 1e6)
    return {"score_ms_p50": float(np.median(taken)), "score_ms_p99": float(np.quantile(taken, 0.99))}


def practice_rows(count: int, seed: int) -> dict[str, Any]:
    """The practice rows: everything that decides a click is in the fields."""
    if not count:
        return {}
    world = practice(count + JUDGED, Chance(seed))
    rows, later = world.rows.select(np.arange(count)), world.rows.select(np.arange(count, count + JUDGED))
    truth, figures = world.pclick[count:], {"practice_rows": count}
    base, limit = entropy(float(truth.mean())), expected_losses(truth, truth).mean()
    print(f"\n{count:,} practice rows, {int(rows.clicked.sum()):,} clicks; limit NE {limit / base:.4f}")
    print(f"{'model':14}{'NE':>8}{'log loss over limit':>21}{'AUC below limit':>17}{'ratio':>8}{'CPU s':>8}")
    for name in ("deep", "line"):
        begun = time.process_time()
        if name == "deep":
            p = fit_deep(rows, chance=Chance(1)).in_slots(later)[0]
        else:
            p = in_slots(fit_response(rows, chance=Chance(1)), later)[0]
        cpu_s, loss = time.process_time() - begun, float(expected_losses(truth, p).mean())
        below = expected_auc(truth, truth) - expected_auc(truth, p)
        told = {"ne": loss / base, "over_limit": loss / limit - 1, "auc_below": below, "ratio": p.sum() / truth.sum()}
        print(
            f"{name:14}{told['ne']:8.4f}{told['over_limit']:21.3%}{below:17.4f}{told['ratio']:8.3f}{cpu_s:8.1f}",
            flush=True,
        )
        figures |= _rounded({f"practice_{name}_{key}": value for key, value in told.items()})
    return figures


def _flat(told: dict[str, Figures], answers: dict[str, Answer]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, f in told.items():
        key = name.lower().replace(" ", "_").replace("-", "_")
        numbers = {"ne": f.ne, "behind": f.behind[0], "behind_low": f.behind[1], "behind_high": f.behind[2]}
        numbers |= {"auc": f.auc, "ratio": f.ratio, "won": f.won, "ece": f.ece, "segment": f.segment[1]}
        out |= _rounded({f"{key}_{k}": v for k, v in (numbers | {"cpu_s": answers[name].cpu_s}).items()})
    return out


def _rounded(numbers: dict[str, float]) -> dict[str, float]:
    return {name: round(float(value), 5) for name, value in numbers.items()}


if __name__ == "__main__":
    main()
