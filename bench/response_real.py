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

from parts import Part, run_parts
from response_real_bandit import bandit
from response_real_headlines import headlines
from response_real_shelf import shelf

PARTS = {"bandit": bandit, "shelf": shelf, "headlines": headlines}


def sampled(name: str) -> Part:
    """The part of this name, with as many bootstrap samples as its form has."""
    return lambda chance, quick: PARTS[name](chance, 200 if quick else 1_000)


if __name__ == "__main__":
    parts = {name: sampled(name) for name in PARTS}
    run_parts("response_real", __doc__, parts, "200 bootstrap samples in place of 1,000")
