"""Clicks of Criteo and Avazu: zhitou beside LightGBM, CatBoost and FuxiCTR, on the owner's own copy of the file.

    python bench/response_public.py --data criteo --file train.txt [--rows 1000000]
    python bench/response_public.py --data avazu --file train.gz --catboost PYTHON --fuxictr PYTHON
    python bench/response_public.py --data criteo --practice 60000 [--quick]    # no file: a made-up one, to try it

The file is read as it is published (zhitou.events.sources.clicks), spread evenly over it `--rows` rows are kept, and
they are split by time: the first 70 % teach, 15 % choose settings, the last 15 % judge. Codes, rates and scales are
learnt from the first part alone. Every peer tries four settings; zhitou has none to try and does not read the second
part. LightGBM runs here; CatBoost and FuxiCTR run under the Python that is named, each in an environment of its own
(bench/peers/requirements-*.txt), and without one the line says "not run" and how to install it.

Printed: AUC, log loss, normalised entropy (NE), predicted over observed clicks, calibration error beside what chance
alone gives, each model's NE minus zhitou's with its paired interval, CPU seconds of learning (all settings). Criteo
thinned clicks and non-clicks at rates it does not tell: its level is that of the file, not of a market. The last line
is JSON and names the file's SHA-256.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from lines import last_line
from response_public_ours import TREE_SETTINGS, fit_trees, fit_zhitou
from response_public_practice import write_practice

sys.path.insert(0, str(Path(__file__).parent / "peers"))
import click_folder

from zhitou.core.chance import Chance
from zhitou.evaluation.calibration import (
    calibration_error_by_chance,
    calibration_ratio,
    expected_calibration_error,
)
from zhitou.evaluation.classification import auc, entropy, log_loss, log_losses, normalised_entropy
from zhitou.evaluation.experiment import Estimate, paired_difference
from zhitou.events.sources.click_codes import write_arrays
from zhitou.events.sources.clicks import FORMATS, click_format, fingerprint

BENCH = Path(__file__).parent
PEERS = {"catboost": "catboost_clicks", "fuxictr": "fuxictr_dcnv2"}


def main() -> None:
    """Prepare, learn, measure, print."""
    args = _arguments()
    with tempfile.TemporaryDirectory() as made:
        form, path = click_format(args.data), args.file
        if args.practice:
            path = Path(made) / f"practice-{args.data}.txt"
            write_practice(path, form, args.practice, Chance(1))
        arrays = args.arrays or Path(made) / "arrays"
        about = write_arrays(path, form, arrays, args.rows, args.least)
        sha256, size = fingerprint(path)
        _print_about(about, path, size, sha256)
        answers, cpu_s = _learn(arrays, args.settings)
        notes = _run_peers(arrays, Path(made), args, answers, cpu_s)
        label = np.array(click_folder.read(arrays).test.label) > 0
    figures = _measure(label, answers, cpu_s)
    for name, note in notes.items():
        print(f"{name:12} {note}")
    told = {"data": args.data, "practice": bool(args.practice), "sha256": sha256, "rows": sum(about["rows"].values())}
    last_line("response_public", {**told, "refused": sum(about["refused"].values()), "not_run": [*notes], **figures})


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=sorted(FORMATS), required=True)
    parser.add_argument("--file", type=Path, help="train.txt of Criteo or train.csv of Avazu, plain or .gz")
    parser.add_argument("--rows", type=int, default=1_000_000, help="so many, spread over the file; 0: all of it")
    parser.add_argument(
        "--least", type=int, default=10, help="training rows that a category needs for a code of its own"
    )
    parser.add_argument("--practice", type=int, default=0, help="rows of a made-up file in the same format")
    parser.add_argument("--quick", action="store_true", help="as --practice 20000 --settings 1")
    parser.add_argument("--arrays", type=Path, help="leave the arrays here, for other peers")
    parser.add_argument("--settings", type=int, default=4, help="settings that each peer tries")
    for peer in PEERS:
        parser.add_argument(f"--{peer}", type=Path, help=f"the Python of an environment with {peer}")
    args = parser.parse_args()
    if args.quick:
        args.practice, args.settings = 20_000, 1
    if not args.practice and args.file is None:
        parser.error(f"--file is needed: get it from {click_format(args.data).where}, or try --practice 60000")
    args.rows = args.rows or None
    return args


def _print_about(about: dict[str, Any], path: Path, size: int, sha256: str) -> None:
    rows, refused = about["rows"], sum(about["refused"].values())
    print(f"{path}: {size:,} bytes, SHA-256 {sha256}")
    whole = "the whole set" if about["rows_in_file"] == about["rows_published"] else "not the whole set"
    print(f"{about['rows_in_file']:,} rows of {about['rows_published']:,} published ({whole}), {refused:,} refused")
    for reason, count in about["refused"].items():
        print(f"  refused: {count:,} {reason}")
    print(f"split by {about['split']['by']}: " + ", ".join(f"{name} {count:,}" for name, count in rows.items()))
    print(f"codes of the categories, missing and rare among them: {sum(about['cardinalities']):,}\n", flush=True)


def _learn(arrays: Path, settings: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """({model: predictions of test}, CPU seconds of learning): zhitou first, a constant last."""
    folder = click_folder.read(arrays)
    times = np.load(arrays / "train" / "time.npy", mmap_mode="r")
    begun = time.process_time()
    zhitou = fit_zhitou(folder.train, np.asarray(times), folder.about)
    cpu_s = {"zhitou": time.process_time() - begun}
    answers = {"zhitou": zhitou(folder.test)}
    print(f"zhitou learnt in {cpu_s['zhitou']:.1f} CPU s", flush=True)

    def fit(setting: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        trees, _ = fit_trees(folder.train, folder.valid, np.asarray(times), folder.about, setting)
        return trees(folder.valid), trees(folder.test)

    answers["lightgbm"], told = click_folder.choose(TREE_SETTINGS[:settings], fit, folder.valid.label)
    cpu_s["lightgbm"] = told["cpu_s"]
    answers["constant"], cpu_s["constant"] = np.full(len(folder.test.label), float(folder.train.label.mean())), 0.0
    return answers, cpu_s


def _run_peers(
    arrays: Path, made: Path, args: argparse.Namespace, answers: dict[str, np.ndarray], cpu_s: dict[str, float]
) -> dict[str, str]:
    """Adds each peer whose Python was given; returns {peer: why it did not run} of the others."""
    notes = {}
    for name, script in PEERS.items():
        python = getattr(args, name)
        if python is None:
            install = f"python3.11 -m venv {name} && {name}/bin/pip install -r bench/peers/requirements-{name}.txt"
            notes[name] = f"not run: {install}, then --{name} {name}/bin/python"
            continue
        out = made / name
        command = [python, BENCH / "peers" / f"{script}.py", arrays, out, "--settings", str(args.settings)]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            notes[name] = f"failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no message'}"
            continue
        answers[name] = np.load(out / "test.npy")
        cpu_s[name] = json.loads((out / "result.json").read_text(encoding="utf-8"))["cpu_s"]
    return notes


def _measure(label: np.ndarray, answers: dict[str, np.ndarray], cpu_s: dict[str, float]) -> dict[str, Any]:
    """The table on screen, and the same as figures."""
    print(f"\n{int(label.sum()):,} clicks of {len(label):,} rows judge; intervals are of 95 %")
    print(
        f"{'model':12}{'AUC':>24}{'log loss':>10}{'NE':>24}{'NE - zhitou':>26}{'ratio':>24}"
        f"{'ece (chance)':>18}{'CPU s':>9}"
    )
    base, figures = entropy(float(label.mean())), {}
    ours = log_losses(label, answers["zhitou"])
    for name, p in answers.items():
        ne, ranks, ratio = normalised_entropy(label, p), auc(label, p), calibration_ratio(label, p)
        gap = paired_difference(log_losses(label, p) / base, ours / base)
        ece = expected_calibration_error(label, p)
        chance = calibration_error_by_chance(p, Chance(1).stream("calibration error", name)).value
        print(
            f"{name:12}{_short(ranks):>24}{log_loss(label, p):10.5f}{_short(ne):>24}{_short(gap):>26}"
            f"{_short(ratio):>24}{f'{ece:.4f} ({chance:.4f})':>18}{cpu_s[name]:9.1f}"
        )
        told = {"auc": ranks.value, "log_loss": log_loss(label, p), "ne": ne.value, "ratio": ratio.value, "ece": ece}
        told |= {"ece_by_chance": chance, "behind": gap.value, "behind_low": gap.low, "behind_high": gap.high}
        figures |= {f"{name}_{key}": round(value, 5) for key, value in told.items()}
        figures[f"{name}_cpu_s"] = round(cpu_s[name], 2)
    return figures


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"


if __name__ == "__main__":
    main()
