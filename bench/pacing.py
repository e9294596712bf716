"""How near does a bidder come to the hindsight optimum of a budget, on real prices, and does it ever overspend?

    python bench/pacing.py [--quick]

Auctions of iPinYou campaigns, in the order they were held; value is pCTR, a price what winning cost. Two protocols:
one budget for all auctions (a share of what they all cost), and a fresh one every 1,000 auctions (1,000 x the past's
mean price x the share), at shares 1/2 to 1/32. Each cell: value as a share of the linear programme's (the exact
fractional knapsack of each flight), then clicks. Bidders, none of which sees what it plays: Mcpc, the linear bid
tuned on the past, the published dynamic programme (RLB, under one budget: shared out anew before each 1,000), and
ours: mirror descent, the episode table, the landscape, with and without the prices of lost auctions.

Campaign 2997: its test log. Under one budget the first quarter is past, and so is the training log's sample (the
table "first quarter only": without it); per 1,000, as published, all of it is played and the training log is past.
The seven campaigns with a sample of their training log: the first quarter is past. Settings were chosen on 2261,
2821, 3358, 3427 and on made-up auctions; 3386 and 3476 were held back and are reported last.

Then automatic bidding with a target return on made-up auctions (pCVR x target CPA in micros) and on 2997, first-price
shading on the same logs played as first-price auctions, wrong forecasts of traffic, and speed. `overspend_micros` is
the most that any bidder paid above any budget, in either protocol or with a target.

--quick: 2997 and one campaign, shares 1/8 and 1/32 for the rest, fewer seeds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # before numba is loaded: one core is what is measured

import numpy as np
from lines import last_line
from pacing_ipinyou import EPISODE, PLAYERS, Past, Played, forecast, hindsight
from pacing_targets import first_price, real_targets, speed, targets

from zhitou.events.sources.ipinyou import CAMPAIGNS, Auctions, read_sample, read_test_log, read_training

SHARES = (2, 4, 8, 16, 32)
HELD_BACK = (3386, 3476)
OURS = "landscape"
NAMES = {  # of the figures
    "Mcpc": "mcpc",
    "linear bid": "linear",
    "RLB": "rlb",
    "mirror descent": "mirror",
    "episode table": "table",
    "landscape": "landscape",
    "landscape, lost prices unseen": "unseen",
}
PUBLISHED = {"Mcpc": 48, "linear bid": 71, "RLB": 78, "SS-MDP": 80}  # clicks on 2997 at 1/32, N = 1,000
Results = dict[tuple[str, int], tuple[Played, Played, int]]  # (bidder, divisor): what it got, hindsight, all budgets


def one_budget(past: Past, auctions: Auctions, shares: tuple[int, ...]) -> Results:
    """Each bidder under one budget for all auctions."""
    out: Results = {}
    for divisor in shares:
        budget = int(auctions.price.sum()) // divisor
        best = hindsight(auctions, budget, len(auctions))
        for name, play in PLAYERS.items():
            out[name, divisor] = (play(past, auctions, budget, len(auctions)), best, budget)
    return out


def per_episode(past: Past, auctions: Auctions, shares: tuple[int, ...]) -> Results:
    """Each bidder with a fresh budget every EPISODE auctions."""
    out: Results = {}
    for divisor in shares:
        budget = int(past.price_mean * EPISODE / divisor)
        best = hindsight(auctions, budget, EPISODE)
        flights = -(-len(auctions) // EPISODE)
        for name, play in PLAYERS.items():
            out[name, divisor] = (play(past, auctions, budget, EPISODE), best, budget * flights)
    return out


def show(title: str, results: Results, shares: tuple[int, ...]) -> None:
    """One table."""
    print(f"\n{title}")
    print(f"{'bidder':32}" + "".join(f"{f'1/{d}':>18}" for d in shares))
    names = list(dict.fromkeys(name for name, _ in results))
    for name in names:
        cells = [results[name, d] for d in shares]
        print(f"{name:32}" + "".join(f"{100 * p.value / b.value:>10.2f} % {p.clicks:>5.0f}" for p, b, _ in cells))
    best = [results[names[0], d][1] for d in shares]
    print(f"{'(hindsight: clicks)':32}" + "".join(f"{b.clicks:>18.1f}" for b in best))
    spent = [results[OURS, d] for d in shares if (OURS, d) in results]
    if spent:
        print(f"{'(landscape: spent)':32}" + "".join(f"{100 * p.cost / all_:>16.2f} %" for p, _, all_ in spent))


def worst_overspend(*results: Results) -> int:
    """The most that any of them paid above a budget."""
    return max(played.over for result in results for played, _, _ in result.values())


def joined(*parts: Auctions) -> Auctions:
    """One after the other."""
    fields = ("clicked", "price", "pctr")
    return Auctions(*(np.concatenate([getattr(p, f) for p in parts]) for f in fields))


def of_2997(shares: tuple[int, ...], few: tuple[int, ...]) -> tuple[dict[str, float], int]:
    """(figures, overspend) of the test log."""
    log, training, sample = read_test_log(), read_training(2997), read_sample(2997)
    quarter = len(log) // 4
    first, rest = log.part(0, quarter), log.part(quarter, len(log))
    whole = one_budget(Past.of(joined(sample, first)), rest, shares)
    show(f"2997, one budget for {len(rest):,} auctions", whole, shares)
    alone = one_budget(Past.of(first), rest, shares)
    show("2997, the same, first quarter only", alone, shares)
    rate, counts = training.clicks / training.impressions, training.price_counts.astype(np.float64)
    past = Past(sample, counts, rate, training.cost_per_click, training.price_mean)
    each = per_episode(past, log, few)
    show(f"2997, a fresh budget every {EPISODE:,} of {len(log):,} auctions", each, few)
    print("published clicks at 1/32: " + ", ".join(f"{name} {clicks}" for name, clicks in PUBLISHED.items()))
    figures: dict[str, float] = {}
    for d in shares:
        played, best, budget = whole[OURS, d]
        figures[f"share_of_lp_1_{d}"] = played.value / best.value
        figures[f"spend_share_1_{d}"] = played.cost / budget
        figures[f"share_of_lp_first_quarter_only_1_{d}"] = alone[OURS, d][0].value / best.value
        for name in ("mirror descent", "landscape, lost prices unseen", "linear bid", "RLB"):
            figures[f"share_of_lp_{NAMES[name]}_1_{d}"] = whole[name, d][0].value / best.value
    for name, short in NAMES.items():
        played, best, _ = each[name, 32]
        figures[f"episodic_clicks_{short}_1_32"] = played.clicks
        figures[f"episodic_share_of_lp_{short}_1_32"] = played.value / best.value
    mcpc = each["Mcpc", 32][0]
    figures["episodic_clicks_1_32"] = each[OURS, 32][0].clicks
    figures["mcpc_impressions_1_32"], figures["mcpc_cost_1_32"] = mcpc.impressions, mcpc.cost
    return figures, worst_overspend(whole, alone, each)


def of_samples(campaigns: list[int], shares: tuple[int, ...]) -> tuple[dict[str, float], int]:
    """(figures, overspend) of the campaigns with a sample of their training log, the first quarter of it past."""
    figures: dict[str, float] = {}
    over = 0
    for campaign in campaigns:
        sample = read_sample(campaign)
        quarter = len(sample) // 4
        past, rest = Past.of(sample.part(0, quarter)), sample.part(quarter, len(sample))
        held = ", held back" if campaign in HELD_BACK else ""
        whole, each = one_budget(past, rest, shares), per_episode(past, rest, shares)
        show(f"{campaign}{held}, one budget for {len(rest):,} auctions", whole, shares)
        show(f"{campaign}{held}, a fresh budget every {EPISODE:,} auctions", each, shares)
        over = max(over, worst_overspend(whole, each))
        for kind, results in (("share_of_lp", whole), ("episodic_share_of_lp", each)):
            for name in ("landscape", "mirror descent", "episode table", "RLB", "linear bid"):
                for d in (shares[-1], 8):
                    played, best, _ = results[name, d]
                    figures[f"{campaign}_{kind}_{NAMES[name]}_1_{d}"] = played.value / best.value
    return figures, over


def of_forecasts(campaign: int) -> list[tuple[str, ...]]:
    """Rows of a forecast of traffic that is wrong, at 1/8."""
    sample = read_sample(campaign)
    past, rest = Past.of(sample.part(0, len(sample) // 4)), sample.part(len(sample) // 4, len(sample))
    budget, lines = int(rest.price.sum()) // 8, []
    for factor in (0.8, 0.9, 1.0, 1.1, 1.25):
        results = [forecast(past, rest, budget, int(len(rest) * factor), revised) for revised in (False, True)]
        lines.append((f"{campaign}, x {factor}", *(f"{100 * x:.1f} %" for pair in results for x in pair)))
    return lines


def rows(title: str, header: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    """A small table."""
    print(f"\n{title}")
    for line in (header, *lines):
        print(f"{line[0]:24}" + "".join(f"{cell:>14}" for cell in line[1:]))


def beside(quick: bool) -> dict[str, float]:
    """Targets, shading and speed."""
    lines, figures = targets(5 if quick else 20)
    rows(
        "automatic bidding, made-up auctions: value over the optimum's; value per cost over the target",
        ("world", "of optimum", "worst", "per target", "worst", "spent"),
        lines,
    )
    log = read_test_log()
    quarter = len(log) // 4
    first, rest = log.part(0, quarter), log.part(quarter, len(log))
    rows(
        "automatic bidding, 2997",
        ("budget", "target", "of optimum", "per target", "spent"),
        real_targets(first, rest),
    )
    lines = []
    for campaign in (2997,) if quick else (2997, 2261, 2821, 3358, 3427, *HELD_BACK):
        past, later = first, rest
        if campaign != 2997:
            sample = read_sample(campaign)
            past, later = sample.part(0, len(sample) // 4), sample.part(len(sample) // 4, len(sample))
        shares = first_price(past, later, seed=campaign)
        figures[f"shading_surplus_{campaign}"] = shares["shaded"]
        figures[f"shading_surplus_constant_factor_{campaign}"] = shares["constant factor"]
        lines.append((str(campaign), *(f"{100 * share:.1f} %" for share in shares.values())))
    header = ("campaign", "shaded", "one factor", "median price", "the worth", "bid of worth")
    rows("first price: surplus as a share of paying the rival's price", header, lines)
    lines = [line for campaign in (2821, 3427) for line in of_forecasts(campaign)]
    header = ("auctions expected", "of LP", "spent", "told at half", "spent")
    rows("one budget, 1/8, a wrong forecast of traffic", header, lines)
    rates = speed(200_000 if quick else 2_000_000, 3 if quick else 7)
    rows("millions a second, one core", ("", "M/s"), [(k, f"{v:.1f}") for k, v in rates.items()])
    return figures | rates


def main() -> None:
    """Everything, then one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    few = (8, 32) if quick else SHARES
    figures, over = of_2997(SHARES, few)
    chosen = [c for c in CAMPAIGNS if c not in HELD_BACK]
    more, also = of_samples([2821] if quick else [*chosen, *HELD_BACK], few)
    aside = beside(quick)
    over = max(over, also, int(aside.pop("target_overspend_micros")))
    kept = {key: round(float(value), 5) for key, value in (figures | more | aside).items()}
    last_line("pacing", {"quick": quick, "overspend_micros": over, **kept})


if __name__ == "__main__":
    main()
