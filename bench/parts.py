"""A bench of several parts: each in turn on one core, or one of them, and the last line.

A part that misses a public data set names it, with where to get it, and is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

from lines import last_line
from threadpoolctl import threadpool_limits

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError

Part = Callable[[Chance, bool], Mapping[str, Any]]


def run_parts(bench: str, page: str | None, parts: Mapping[str, Part], quick_means: str) -> None:
    """Run what the command line asks for. page: the bench's docstring. A part gets its chance and whether to be
    short; its figures get the CPU seconds that it took beside them."""
    parser = argparse.ArgumentParser(description=page, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(parts))
    parser.add_argument("--quick", action="store_true", help=quick_means)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures: dict[str, object] = {"quick": args.quick, "seed": args.seed}
    for name, part in parts.items():
        if args.only not in (None, name):
            continue
        begun = time.process_time()
        try:
            with threadpool_limits(1):
                found = part(Chance(args.seed), args.quick)
        except SourceError as error:
            print(f"left out: {error}")
            figures[f"{name}_left_out"] = True
            continue
        figures |= {key: float(f"{v:.4g}") if isinstance(v, float) else v for key, v in found.items()}
        figures[f"{name}_cpu_s"] = round(time.process_time() - begun, 1)
    last_line(bench, figures)
