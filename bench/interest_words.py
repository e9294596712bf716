"""Interest in words, and what comes next: do tags survive a retraining, audiences find buyers, probabilities hold?

    python bench/interest_words.py [--quick] [--prepared out/prepared] [--models FOLDER] [--seed 1] [--threads 1]

The Complete Journey, cut 56 days before its last purchase; two models of interest.config.laptop() learn strictly
before the cut with seeds S and S + 1 (`--models` keeps them and takes them from there if they stand there).

- tags: the first five of every household, one model against the other; beside one list for all, and another
  household's.
- causes: seconds of CPU for the causes of five tags of households with about 50 steps; how often both models name
  the same strongest cause of a tag that both give, beside a cause drawn by chance.
- audiences: seeds are half of those who buy of a category in the eight weeks after the cut; the other half is
  searched for among all other households. Only every second category with 100 to 1,000 buyers: the penalty was
  chosen on the others.
- outlook: learnt before the cut, asked at the seven weekly moments from the cut on. Intervals resample households.
- CDNOW, if ZHITOU_DATA holds it: the same question of 23,570 customers of a web shop.

--quick: a quarter of the households, one pass, fewer categories, no CDNOW. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lines import last_line

BENCH = Path(__file__).parent
WEEKS_AFTER = 8
MOMENTS = 7
WEEK_S = 7 * 86_400
RESAMPLES = 200


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the households, one pass, no CDNOW")
    parser.add_argument("--prepared", type=Path, default=BENCH.parent / "out" / "prepared")
    parser.add_argument("--models", type=Path, default=None, help="keep the two trained models here")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _trained(past: Any, items: Any, args: argparse.Namespace, seed: int) -> Any:
    """The model of this seed, from --models if it stands there."""
    from zhitou.core.chance import Chance
    from zhitou.interest.config import laptop
    from zhitou.interest.predict import Interest
    from zhitou.interest.train import fit_interest

    folder = args.models / f"interest-{seed}{'-quick' if args.quick else ''}" if args.models else None
    if folder and (folder / "manifest.json").exists():
        return Interest.load(folder, items)
    config = laptop()
    if args.quick:
        config = replace(config, fit=replace(config.fit, epochs=1))
    model = fit_interest(past, items, config, Chance(seed))
    if folder:
        model.save(folder)
    return model


def _words(one: Any, two: Any, past: Any, seed: int) -> dict[str, Any]:
    """Agreement of tags and of their causes, and what causes cost."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.evaluation.ranking import interval
    from zhitou.interest.agreement import tag_agreement
    from zhitou.interest.causes import explain
    from zhitou.interest.tokens import steps_of

    found = tag_agreement(one.tags(past), two.tags(past), Chance(seed))
    print(f"\nfirst five tags of {found.overlap.n:,} households, two seeds of one training")
    figures: dict[str, Any] = {}
    for name in ("overlap", "popular_overlap", "chance_overlap"):
        plain, biased = getattr(found, name), getattr(found, f"{name}_biased")
        print(f"{name:16} in common {plain}   rank-biased {biased}")
        figures |= {f"tags_{name}": plain.mean, f"tags_{name}_biased": biased.mean}
    sizes = steps_of(past).sizes
    rows = np.argsort(np.abs(sizes - 50), kind="stable")[:40]
    seconds, same, by_chance = [], [], []
    for row in rows:
        shopper = past.select(np.asarray([row]))
        begun = time.process_time()
        ours = explain(one, shopper)[0]
        seconds.append(time.process_time() - begun)
        theirs = {(e.tag.kind, e.tag.word): e.causes for e in explain(two, shopper)[0]}
        for entry in ours:
            if causes := theirs.get((entry.tag.kind, entry.tag.word)):
                same.append(entry.causes[0].first_step == causes[0].first_step)
                by_chance.append(1 / len(causes))
    agreed = interval(np.asarray(same, dtype=float), Chance(seed).stream("bench-causes"))
    ms = 1e3 * np.median(seconds[1:])
    print(f"causes of five tags, {sizes[rows].min()}-{sizes[rows].max()} steps: {ms:.0f} ms of CPU (median)")
    print(f"same strongest cause of a common tag: {agreed}, by chance {np.mean(by_chance):.4f}")
    return figures | {"causes_cpu_ms": ms, "causes_same": agreed.mean, "causes_same_by_chance": np.mean(by_chance)}


def _audiences(interest: Any, histories: Any, cut_s: int, most: int, seed: int) -> dict[str, Any]:
    """Lift over a random audience of the hidden half of each category's later buyers."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.evaluation.ranking import interval, paired_difference
    from zhitou.interest.audiences import descriptions, held_out, likeness
    from zhitou.interest.outlook_fit import categories_within_7_days
    from zhitou.interest.portraits import category_habits, habits

    known = np.flatnonzero(np.diff(histories.before(cut_s).offsets) > 0)
    past, rows = histories.before(cut_s).select(known), histories.select(known)
    code, C = interest.items.category[:, 1], len(interest.items.category_names[1])
    bought = np.any(
        [categories_within_7_days(rows, code, C, cut_s + n * WEEK_S) for n in range(WEEKS_AFTER)], axis=0
    )
    share = len(known) / 2_469  # of the households, in the short form
    wanted = [c for c in range(1, C) if 100 * share <= bought[:, c].sum() <= 1_000 * share][1::2]
    wanted = [wanted[n] for n in np.unique(np.linspace(0, len(wanted) - 1, most).astype(int))]

    def standard(columns: np.ndarray) -> np.ndarray:
        return (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), 1e-6)

    vectors, lines = standard(interest.vectors(past)), np.diff(past.offsets).astype(np.float64)
    described = descriptions(interest, past, cut_s)
    own = category_habits(past, interest.items, cut_s)[..., 2]
    counted = np.concatenate([standard(habits(past, cut_s)), standard(own) / np.sqrt(5)], axis=1)
    scorers = {
        "interest": lambda shown: likeness(described, shown)[0],
        "own counts, same regression": lambda shown: likeness(counted, shown)[0],
        "vectors, nearest the mean": lambda shown: vectors @ vectors[shown].mean(axis=0),
        "heaviest shoppers": lambda shown: lines,
    }
    lifts: dict[str, list[float]] = {name: [] for name in scorers}
    recalls: dict[str, list[float]] = {name: [] for name in scorers}
    for c in wanted:
        mixed = Chance(seed).stream("bench-audience", int(c)).permutation(np.flatnonzero(bought[:, c]))
        shown, hidden = np.sort(mixed[: len(mixed) // 2]), mixed[len(mixed) // 2 :]
        for name, scores in scorers.items():
            check = held_out(scores, shown, hidden, len(known))
            lifts[name].append(check.lift.value)
            recalls[name].append(check.recall.value)
    print(f"\naudiences of {len(wanted)} categories: lift over a random audience as large as the hidden half")
    figures = {}
    for name in scorers:
        stream = Chance(seed).stream("bench-audience-interval", name)
        got = interval(np.asarray(lifts[name]), stream)
        gap = paired_difference(np.asarray(lifts["interest"]), np.asarray(lifts[name]), stream)
        print(f"{name:28} {got}  recall@size {np.mean(recalls[name]):.4f}  interest minus it {gap}")
        key = name.split(",")[0].replace(" ", "_")
        figures |= {f"audience_lift_{key}": got.mean, f"audience_gain_low_over_{key}": gap.low}
    return {**figures, "audience_categories": len(wanted)}


def _outlook(interest: Any, histories: Any, cut_s: int, seed: int, name: str) -> dict[str, Any]:
    """AUC, log loss and calibration of buying within seven days and, with several categories, of each of them."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.interest.outlook import OutlookConfig
    from zhitou.interest.outlook_fit import bought_within_7_days, categories_within_7_days, fit_outlook

    code, C = interest.items.category[:, 1], len(interest.items.category_names[1])
    last = int((histories.time_s.max() - cut_s) // WEEK_S)
    moments = [cut_s + n * WEEK_S for n in range(min(MOMENTS, last))]
    alive = {t: np.flatnonzero(np.diff(histories.before(t).offsets) > 0) for t in moments}
    owner = np.concatenate([alive[t] for t in moments])
    label = np.concatenate([bought_within_7_days(histories, t)[alive[t]] for t in moments])
    some = [moments[n] for n in sorted({0, len(moments) // 2, len(moments) - 1})]
    of = np.concatenate([categories_within_7_days(histories, code, C, t)[alive[t]] for t in some])
    said, said_of, cost = {}, {}, {}
    for kind, used in (("counts", False), ("interest", True)):
        begun = time.process_time()
        outlook = fit_outlook(
            interest, histories, Chance(seed), cut_s=cut_s, config=OutlookConfig(with_interest=used)
        )
        cost[kind] = time.process_time() - begun
        said[kind] = np.concatenate([outlook.buys_within_7_days(histories.select(alive[t]), t) for t in moments])
        if C > 2:
            said_of[kind] = np.concatenate([outlook.category(histories.select(alive[t]), t) for t in some])
        print(
            f"\n{name}: {kind} learnt in {cost[kind]:.0f} s of CPU, penalty of vectors "
            f"{outlook.learnt['penalty_vectors']}, next actions seen: {', '.join(outlook.kinds)}"
        )
    said["base rate"] = np.full(len(label), outlook.heads.base_buys[0])
    print(f"{name}: buys within 7 days, {len(label):,} questions of {len(np.unique(owner)):,} shoppers")
    print(f"{name}: {label.mean():.1%} of them yes")
    figures = _judged(said, label[:, None], owner, seed, f"{name}_buys")
    if C > 2:
        said_of["base rate"] = np.tile(outlook.heads.base_category, (len(of), 1))
        rows = np.concatenate([alive[t] for t in some])
        print(f"{name}: buys of a category within 7 days, {C} categories, {len(of):,} questions, {of.mean():.2%} do")
        figures |= _judged(said_of, of, rows, seed, f"{name}_category")
    return figures | {f"{name}_{kind}_fit_cpu_s": value for kind, value in cost.items()}


def _judged(said: dict[str, Any], label: Any, owner: Any, seed: int, name: str) -> dict[str, Any]:
    """Print and return the figures of probabilities [R] or [R, C] for labels [R, C]; owner: int [R]."""
    import numpy as np

    from zhitou.core.chance import Chance
    from zhitou.evaluation.calibration import calibration_error_by_chance, expected_calibration_error
    from zhitou.evaluation.classification import auc, log_losses
    from zhitou.evaluation.ranking import interval

    figures: dict[str, Any] = {}
    stream = Chance(seed).stream("bench-outlook", name)
    people, place = np.unique(owner, return_inverse=True)
    losses = {}
    for kind, p in said.items():
        p = p.reshape(label.shape)
        # one value a household: its mean loss times its share of the rows, so that the mean is that over rows
        total = np.bincount(place, log_losses(label, p).sum(axis=1), minlength=len(people))
        losses[kind] = total / label.shape[1] * len(people) / len(label)
        columns = [c for c in range(label.shape[1]) if label[:, c].sum() >= 20]
        area = [auc(label[:, c], p[:, c]).value for c in columns]
        error = expected_calibration_error(label.ravel(), p.ravel(), 20)
        fair = calibration_error_by_chance(p.ravel(), stream, 20)
        spread = ""
        if label.shape[1] == 1:
            low, high = _resampled_auc(label[:, 0], p[:, 0], place, len(people), stream)
            spread = f" [{low:.4f}, {high:.4f}]"
        got = interval(losses[kind], stream)
        print(
            f"  {kind:10} AUC {np.mean(area):.4f}{spread}  log loss {got}  ECE {error:.4f} (chance alone "
            f"{fair.value:.4f} to {fair.high:.4f})  predicted over seen {p.sum() / label.sum():.3f}"
        )
        key = f"{name}_{kind.replace(' ', '_')}"
        figures |= {f"{key}_auc": np.mean(area), f"{key}_log_loss": got.mean, f"{key}_ece": error}
    gap = interval(losses["counts"] - losses["interest"], stream)
    print(f"  log loss, counts minus interest: {gap.mean:.5f} [{gap.low:.5f}, {gap.high:.5f}]")
    return figures | {f"{name}_gain": gap.mean, f"{name}_gain_low": gap.low, f"{name}_gain_high": gap.high}


def _resampled_auc(label: Any, p: Any, place: Any, people: int, stream: Any) -> tuple[float, float]:
    """The 95 % interval of the AUC when households are drawn anew."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    found = []
    for _ in range(RESAMPLES):
        weight = stream.multinomial(people, np.full(people, 1 / people))[place].astype(np.float64)
        found.append(roc_auc_score(label, p, sample_weight=weight))
    return tuple(np.quantile(found, [0.025, 0.975]))


def _cdnow(args: argparse.Namespace) -> dict[str, Any]:
    """The outlook of CDNOW's customers; nothing where the data set is not at hand."""
    from next_basket import _data

    from zhitou.core.chance import Chance
    from zhitou.core.clock import SystemClock
    from zhitou.core.errors import SourceError
    from zhitou.events.clean import PrepareConfig
    from zhitou.events.prepare import prepare
    from zhitou.events.sources.public import read_public
    from zhitou.interest.config import laptop
    from zhitou.interest.train import fit_interest
    from zhitou.privacy.pseudonyms import Pseudonyms, demonstration_key

    try:
        raw = read_public("cdnow")
    except SourceError as missing:
        print(f"\nCDNOW left out: {missing}", file=sys.stderr)
        return {}
    with tempfile.TemporaryDirectory() as made:
        names = Pseudonyms("bench", demonstration_key(Chance(0)))
        prepare(raw, Path(made), names, PrepareConfig(), SystemClock().now_us())
        histories, items = _data(Path(made))
    cut_s = int(histories.time_s.max()) - WEEKS_AFTER * WEEK_S
    interest = fit_interest(histories.before(cut_s), items, laptop(), Chance(args.seed))
    return _outlook(interest, histories, cut_s, args.seed, "cdnow")


def main() -> None:
    """Train, measure, print."""
    args = _arguments()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(args.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import numpy as np
    import torch
    from next_basket import _data

    torch.set_num_threads(args.threads)
    histories, items = _data(args.prepared)
    if args.quick:
        histories = histories.select(np.arange(0, len(histories), 4))
    cut_s = int(histories.time_s.max()) - WEEKS_AFTER * WEEK_S
    past = histories.before(cut_s)
    print(f"{len(past.item):,} purchases of {len(past):,} households before the cut, {len(items):,} products")
    one, two = (_trained(past, items, args, seed) for seed in (args.seed, args.seed + 1))
    figures: dict[str, Any] = {"quick": args.quick, "seed": args.seed, "threads": args.threads}
    figures |= _words(one, two, past, args.seed)
    figures |= _audiences(one, histories, cut_s, 8 if args.quick else 60, args.seed)
    figures |= _outlook(one, histories, cut_s, args.seed, "journey")
    if not args.quick:
        figures |= _cdnow(args)
    rounded = {k: v if isinstance(v, bool | int) else round(float(v), 5) for k, v in figures.items()}
    last_line("interest_words", rounded)


if __name__ == "__main__":
    main()
