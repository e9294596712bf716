"""Does the interest model know the next item better than counting, linear models and its peers do?

    python bench/interest.py [--data beauty,sports,diginetica,yoochoose,journey] [--models transitions,interest,...]
                             [--seeds 5] [--strict sports] [--quick] [--out out/interest] [--reuse]
                             [--kept] [--peers out/peers]

Protocols: bench/interest_data.py. Every item is ranked. Baselines choose their settings on the validation questions,
at most twelve trials each (bench/interest_models.py); the trials are printed and kept in tuning.json below --out,
next to the rankings. --reuse reads the rankings that lie there instead of making them again, --kept leaves the
others out; --peers reads those of
others (bench/interest_answers.py). A model with chance in it is trained once a seed. Intervals are 95 %, over people
(or visits) and seeds, see evaluation.next_item.compare; differences are paired, to the baseline that is best on the
test questions. "strict" and "refit" are two tables because they must not be compared. Seconds are CPU seconds of one
thread, of one seed. --quick takes a quarter of two data sets, three trials and no EASE and ALS. The last line is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lines import last_line

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # before numpy is imported
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from interest_answers import Answers
    from interest_data import Data

REPOSITORY = Path(__file__).parents[1]
QUICK_DATA, QUICK_TRIALS, QUICK_WITHOUT = "beauty,yoochoose", 3, ("ease", "als", "committee")


def main() -> None:
    """Learn, rank, compare, print."""
    args = _arguments()
    import torch
    from interest_data import read

    from zhitou.core.errors import SourceError

    torch.set_num_threads(1)
    figures: dict[str, Any] = {"quick": args.quick, "seeds": args.seeds}
    logs: dict[str, Any] = {}
    for name in args.data.split(","):
        try:
            data = read(name, args.quick)
        except SourceError as missing:
            print(f"\n{name}: left out, {missing}", flush=True)
            continue
        if name in args.strict:
            data = replace(data, ways=data.ways[:1])
        settings, logs[name] = _tuned(args, data)
        for way in data.ways:
            figures |= _table(args, data, way, _answers(args, data, way, settings))
    for name, log in logs.items():
        if log:
            path = args.out / name / "tuning.json"
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            path.write_text(json.dumps({**before, **log}, indent=1) + "\n", encoding="utf-8")
    rounded = {k: round(v, 5) if isinstance(v, float) else v for k, v in figures.items()}
    last_line("interest", rounded)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="comma-separated; all five, or beauty and yoochoose with --quick")
    parser.add_argument("--models", help="comma-separated; all if not given")
    parser.add_argument("--strict", default="", help="data sets to leave the refitted models out of")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--reuse", action="store_true", help="read the rankings that lie below --out")
    parser.add_argument("--kept", action="store_true", help="with --reuse: only what lies there, nothing is trained")
    parser.add_argument("--peers", type=Path, help="a folder of bench/peers/dump.py with peers' answers in it")
    args = parser.parse_args()
    args.data = args.data or (QUICK_DATA if args.quick else "beauty,sports,diginetica,yoochoose,journey")
    args.seeds = args.seeds or (1 if args.quick else 5)
    args.strict = args.strict.split(",")
    args.out = args.out or REPOSITORY / "out" / ("interest_quick" if args.quick else "interest")
    from interest_data import NAMES
    from interest_models import BASKETS, SEQUENCES
    from interest_ours import COMMITTEE, NAME

    known = (NAME, COMMITTEE, *dict.fromkeys(model.name for model in (*SEQUENCES, *BASKETS)))
    for given, names in ((args.data, NAMES), (args.models or "", known)):
        if unknown := set(filter(None, given.split(","))) - set(names):
            parser.error(f"{', '.join(sorted(unknown))} is not known; there are {', '.join(names)}")
    args.models = args.models.split(",") if args.models else [n for n in known if not _skipped(args.quick, n)]
    return args


def _skipped(quick: bool, name: str) -> bool:
    return quick and name in QUICK_WITHOUT


def _tuned(args: argparse.Namespace, data: Data) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings by baseline, and the log of the trials; an error in place of settings where a baseline refuses."""
    from interest_models import TRIALS, chosen, models

    from zhitou.core.chance import Chance
    from zhitou.core.errors import ZhitouError

    settings: dict[str, Any] = {}
    logs: dict[str, Any] = {}
    for name, model in models(data).items():
        there = args.reuse and all(_path(args, data, name, w).exists() for w in data.ways)
        if name not in args.models or there or args.kept:
            continue
        try:
            settings[name], logs[name] = chosen(model, data, Chance(1), QUICK_TRIALS if args.quick else TRIALS)
        except ZhitouError as refused:
            settings[name], logs[name] = refused, str(refused)
            continue
        for trial in logs[name]:
            print(f"{data.name} {name}: {json.dumps(trial)}", flush=True)
    return settings, logs


def _path(args: argparse.Namespace, data: Data, model: str, way: str) -> Path:
    return args.out / data.name / f"{model}-{way}.npz"


def _answers(args: argparse.Namespace, data: Data, way: str, settings: dict[str, Any]) -> dict[str, Answers | str]:
    """By model its rankings, or the words that stand for them where there are none."""
    from interest_answers import EXPECTED, keep, kept, peers
    from interest_models import models
    from interest_ours import COMMITTEE, NAME, fit_committee, fit_ours

    baselines = models(data)
    refit = way == "refit"
    histories = data.learn(refit)
    found: dict[str, Answers | str] = {}
    for name in (*baselines, NAME, COMMITTEE):
        path = _path(args, data, name, way)
        if name not in args.models or (args.kept and not path.exists()):
            continue
        if args.reuse and path.exists():
            found[name] = kept(path, data)
            continue
        if isinstance(settings.get(name), Exception):
            found[name] = str(settings[name])
            continue
        if name == NAME:
            seeds = args.seeds
            learn = lambda seed: fit_ours(data, seed, refit, args.quick)  # noqa: E731
        elif name == COMMITTEE:
            seeds = 1
            learn = lambda seed: fit_committee(data, refit, args.quick)  # noqa: E731
        else:
            model = baselines[name]
            model.forget()  # so that its seconds are those of learning
            seeds = args.seeds if model.chancy else 1
            learn = _learner(model, histories, data, settings[name])
        found[name] = _ranked(data, learn, seeds)
        keep(path, found[name])
    theirs = peers(args.peers, data, way)
    missing = {name: "not run" for name in EXPECTED if args.peers and not any(n.startswith(name) for n in theirs)}
    return {**found, **theirs, **missing}


def _learner(model: Any, histories: Any, data: Data, settings: Any) -> Any:
    from zhitou.core.chance import Chance

    return lambda seed: model.learn(histories, data, settings, Chance(seed))


def _ranked(data: Data, learn: Any, seeds: int) -> Answers:
    """Learn once a seed, and rank for every test question."""
    import numpy as np
    from interest_answers import Answers
    from interest_data import K

    from zhitou.evaluation.next_item import top_items

    tops: dict[str, list[Any]] = {prefix: [] for prefix in data.tests}
    learn_s = rank_s = 0.0
    for seed in range(1, seeds + 1):
        begun_s = time.process_time()
        rank = learn(seed)
        learnt_s = time.process_time()
        for prefix, questions in data.tests.items():
            tops[prefix].append(top_items(rank, questions, K))
        learn_s, rank_s = learn_s + learnt_s - begun_s, rank_s + time.process_time() - learnt_s
    return Answers({prefix: np.stack(top) for prefix, top in tops.items()}, learn_s / seeds, rank_s / seeds)


def _table(args: argparse.Namespace, data: Data, way: str, answers: dict[str, Answers | str]) -> dict[str, Any]:
    """Print one table for each kind of question; the figures by name."""
    from interest_models import models

    figures: dict[str, Any] = {}
    there = {name: found for name, found in answers.items() if not isinstance(found, str)}
    some = ", ".join(f"{name} {a.learn_cpu_s:.1f} + {a.rank_cpu_s:.1f}" for name, a in there.items())
    for prefix, questions in data.tests.items():
        values = _values(data, there, prefix)
        which = f"{data.name}{'_refit' if way == 'refit' else ''}_{prefix}"
        baselines = [name for name in values if name in models(data)]
        if not values:
            continue
        reference = max(baselines or values, key=lambda name: values[name][data.main].mean())
        print(f"\n{data.name}, {way}{', new to the household' if prefix else ''}: {len(questions):,} questions")
        print(f"{'model':14} {'metric':13} {'mean':>7}  95 % interval      minus {reference}, paired")
        for metric in data.metrics:
            figures |= _compared(which, metric, {name: v[metric] for name, v in values.items()}, reference, questions)
        for name, words in answers.items():
            if isinstance(words, str):
                print(f"{name:14} {words}")
    print(f"CPU seconds to learn + to rank: {some}", flush=True)
    seconds = {f"learn_cpu_s_{_word(name)}_{data.name}_{way}": a.learn_cpu_s for name, a in there.items()}
    return figures | {name: value for name, value in seconds.items() if value == value}


def _values(data: Data, answers: dict[str, Answers], prefix: str) -> dict[str, dict[str, Any]]:
    """float64 [S, N] by model and metric."""
    import numpy as np

    from zhitou.evaluation.next_item import figures

    values: dict[str, dict[str, Any]] = {}
    for name, found in answers.items():
        if prefix in found.top:
            by_seed = [figures(top, data.tests[prefix].targets, (5, 10, 20)) for top in found.top[prefix]]
            values[name] = {m: np.stack([seed[of] for seed in by_seed]) for m, of in data.metrics.items()}
    return values


def _compared(which: str, metric: str, values: dict[str, Any], reference: str, questions: Any) -> dict[str, Any]:
    from interest_ours import NAME

    from zhitou.core.chance import Chance
    from zhitou.evaluation.next_item import compare

    figures: dict[str, Any] = {f"best_baseline_{which}{metric}": float(values[reference].mean())}
    found = compare(values, questions.cluster, reference, Chance(1).stream("bench-interest", which, metric))
    for name, got in found.items():
        mean, gain = got.mean, got.gain
        line = f"{name:14} {metric:13} {mean.mean:7.4f}  [{mean.low:.4f}, {mean.high:.4f}]"
        if name != reference:
            line += f"   {gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
        print(line)
        key = f"{which}{metric}" if name == NAME else f"{_word(name)}_{which}{metric}"
        figures[key] = mean.mean
        if name == NAME:
            figures[f"gain_low_{key}"] = gain.low
    return figures


def _word(name: str) -> str:
    return name.replace("-", "_")


if __name__ == "__main__":
    main()
