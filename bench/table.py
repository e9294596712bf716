"""Runs the benches and writes the table of bench/README.md from their last lines, so that no figure is typed by hand.

    python bench/table.py                     all of them (about two hours on two cores; the interest ones are long)
    python bench/table.py server --quick      some of them
    python bench/table.py --rewrite           none: the table anew from what was measured last

What each bench said last is kept in bench/results.jsonl, one line a bench, with the command and the versions it ran
with. A bench that fails leaves its line as it was and ends this program with its status.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
RESULTS, PAGE = BENCH / "results.jsonl", BENCH / "README.md"
BENCHES = (
    "loop",
    "next_basket",
    "interest",
    "interest_cold",
    "interest_scale",
    "interest_serving",
    "interest_speed",
    "interest_words",
    "response_market",
    "response_real",
    "calibration",
    "delay",
    "feedback",
    "auctions",
    "decisions",
    "pacing",
    "planner",
    "ope",
    "experiments",
    "market_accept",
    "market",
    "day",
    "server",
)
LIBRARIES = ("zhitou", "numpy", "duckdb", "torch", "numba")
BEGIN, END = "<!-- table: written by bench/table.py -->", "<!-- /table -->"

# ratio -> (bench, its figure, the peer's figure of the same run)
RATIOS = {
    "preparing over reading every value with DuckDB": ("loop", "prepare_s", "raw_scan_s"),
    "recall@10, interest over the best baseline (demo)": ("loop", "recall_at_10", "best_baseline_recall_at_10"),
    "recall@10, interest over the best baseline": ("next_basket", "recall_at_10", "best_baseline_recall_at_10"),
    "NDCG@10, interest over buy-again": ("next_basket", "ndcg_at_10", "recent_ndcg_at_10"),
    "recall@10 of new products, interest over popular": (
        "next_basket",
        "new_recall_at_10",
        "popular_new_recall_at_10",
    ),
    "NDCG@10, Beauty, committee over the transition counts": (
        "interest",
        "committee_beauty_ndcg_at_10",
        "transitions_beauty_ndcg_at_10",
    ),
    "CPU seconds of an epoch, RecTools SASRec with 256 negatives over ours": (
        "interest_speed",
        "rectools_256_epoch_cpu_s",
        "epoch_cpu_s",
    ),
    "CPU seconds of an epoch, RecTools SASRec with full softmax over ours": (
        "interest_speed",
        "rectools_full_epoch_cpu_s",
        "epoch_cpu_s",
    ),
    "CPU seconds of an epoch, RecBole SASRec over ours": ("interest_speed", "recbole_epoch_cpu_s", "epoch_cpu_s"),
    "recall@10 of items never trained on over that of the others": (
        "interest_cold",
        "cold_recall_at_10",
        "warm_recall_at_10",
    ),
    "auctions a CPU second over the published tick": ("auctions", "auctions_per_cpu_s", "peer_auctions_per_cpu_s"),
    "the same with noise on chances": ("auctions", "auctions_per_cpu_s_noise", "peer_auctions_per_cpu_s_noise"),
    "decisions a CPU second over Vowpal Wabbit": ("decisions", "decisions_per_cpu_s", "vw_per_cpu_s"),
    "a decision over the three-ad example (p50)": ("server", "decision_ms_p50", "stack_ms_p50"),
}


def main() -> None:
    """Run, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="run each in its short form")
    parser.add_argument("--line", type=Path, help="a file whose last line is that of a bench run by hand; kept too")
    parser.add_argument("--command", default="by hand", help="with --line: the command it was run by")
    parser.add_argument("--rewrite", action="store_true", help="run none")
    given = parser.parse_args()
    if unknown := sorted(set(given.names) - set(BENCHES)):
        parser.error(f"no bench is called {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    if given.line:
        keep(_described(json.loads(given.line.read_text(encoding="utf-8").splitlines()[-1]), given.command))
    for name in () if given.rewrite or given.line else given.names or BENCHES:
        keep(measured(name, given.quick))
    PAGE.write_text(with_table(PAGE.read_text(), results()), encoding="utf-8")


def measured(name: str, quick: bool) -> dict[str, Any]:
    """Run one bench, showing what it prints; its last line with command and versions."""
    arguments = [f"bench/{name}.py", *(["--quick"] if quick else [])]
    print(f"== python {' '.join(arguments)}", flush=True)
    last = ""
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=BENCH.parent, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None, "its output is a pipe"
        for line in process.stdout:
            print(line, end="", flush=True)
            last = line if line.strip() else last
    if process.returncode:
        sys.exit(process.returncode)
    return _described(json.loads(last), f"python {' '.join(arguments)}")


def _described(line: dict[str, Any], command: str) -> dict[str, Any]:
    """A bench's last line with its command and the versions it ran with."""
    versions = {"Python": platform.python_version(), **{library: version(library) for library in LIBRARIES}}
    return {**line, "command": command, "versions": versions}


def results() -> dict[str, dict[str, Any]]:
    """What each bench said last, by its name, in the order of BENCHES."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    found = {entry["bench"]: entry for entry in map(json.loads, lines)}
    return {name: found[name] for name in BENCHES if name in found}


def keep(entry: dict[str, Any]) -> None:
    """Put this line in place of the bench's last one."""
    entries = {**results(), entry["bench"]: entry}
    lines = [json.dumps(entries[name], sort_keys=True) for name in BENCHES if name in entries]
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def with_table(page: str, entries: dict[str, dict[str, Any]]) -> str:
    """The page with everything between the two marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    assert found, f"{PAGE.name} has the marks {BEGIN} and {END}"
    return f"{before}{BEGIN}\n{table(entries)}{END}{after}"


def table(entries: dict[str, dict[str, Any]]) -> str:
    """Ratios first, then each bench: where it ran, and all of its figures."""
    if not entries:
        return "Nothing has been measured yet: `python bench/table.py`.\n"
    lines = ["| ratio, both measured in one run | figure | peer | ratio |", "| --- | --: | --: | --: |"]
    for words, (bench, ours, theirs) in RATIOS.items():
        figures = entries.get(bench, {}).get("figures", {})
        if ours in figures and theirs in figures:
            ratio = f"{figures[ours] / figures[theirs]:.3g}"
            lines.append(f"| {words} | {shown(figures[ours])} | {shown(figures[theirs])} | {ratio} |")
    for name, entry in entries.items():
        libraries = ", ".join(f"{library} {number}" for library, number in entry["versions"].items())
        quick = " Quick run: read it as a smoke test." if entry["figures"].get("quick") else ""
        lines += [
            "",
            f"`{entry['command']}` on {entry['machine']}, commit {entry['commit']}; {libraries}.{quick}",
            "",
        ]
        lines += [f"| {name} | |", "| --- | --: |"]
        lines += [f"| `{figure}` | {shown(value)} |" for figure, value in entry["figures"].items()]
    return "\n".join(lines) + "\n"


def shown(value: object) -> str:
    """A figure as the table shows it."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(part)}" for name, part in value.items())
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


if __name__ == "__main__":
    main()
