"""Real feedback: what it decides about clicks, in words and figures, and what it cannot decide.

    python bench/response_real.py [--only bandit|shelf|headlines] [--quick] [--seed 1]

Three public sets, found below ZHITOU_DATA (one that is absent is named, with where to get it, and left out):

- bandit: Open Bandit, campaign "men", 10,000 impressions each of a random policy and Bernoulli Thompson sampling.
  Click models learnt on the first 70 % of the time and judged on the rest; the effect of the slot; other policies'
  value from the log, or why it is refused.
- shelf: E-shop Clothing 2008, 165,474 clicks without impressions. Whether position can be told apart from appeal (it
  cannot: no product ever moved), what goes with position all the same, and in which order pages are read.
- headlines: Upworthy, 3,924 trials. Rates shrunk to the trial's mean; the better of two headlines by its words; the
  rate of a headline that nobody has seen.

Intervals are of 95 %; "cannot be decided" means that the interval holds both answers. Nothing is chosen by looking at
the later part. --quick: fewer bootstrap samples. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import time

from lines import last_line
from response_real_bandit import bandit
from response_real_headlines import headlines
from response_real_shelf import shelf
from threadpoolctl import threadpool_limits

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError

PARTS = {"bandit": bandit, "shelf": shelf, "headlines": headlines}


def main() -> None:
    """Each part in turn, then the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(PARTS))
    parser.add_argument("--quick", action="store_true", help="200 bootstrap samples in place of 1,000")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    figures: dict[str, object] = {"quick": args.quick, "seed": args.seed}
    for name, part in PARTS.items():
        if args.only not in (None, name):
            continue
        begun = time.process_time()
        try:
            with threadpool_limits(1):
                found = part(Chance(args.seed), 200 if args.quick else 1_000)
        except SourceError as error:
            print(f"left out: {error}")
            figures[f"{name}_left_out"] = True
            continue
        figures |= {key: float(f"{v:.4g}") if isinstance(v, float) else v for key, v in found.items()}
        figures[f"{name}_cpu_s"] = round(time.process_time() - begun, 1)
    last_line("response_real", figures)


if __name__ == "__main__":
    main()
