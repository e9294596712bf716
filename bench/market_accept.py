"""May the second edition of the market be used to compare policies? A report of criteria, each passed or failed.

    python bench/market_accept.py [--run out]
    python bench/market_accept.py --quick     # without The Complete Journey: no baskets, no ads of the market's own

Reads, below ZHITOU_DATA: Open Bandit, Hillstrom's trial, nine iPinYou campaigns; and the folder of a demo for The
Complete Journey. Criteria: Thompson over random within 5 points of the three published lifts, with seeds that were
not fitted to, and again over the market's own ads against the campaign that shows all items to everybody; every arm
of the trial inside its 95 % interval; prices of nine campaigns within a Kolmogorov distance of 0.02 and win rates
with them; and gradient-boosted trees that cannot tell held-out real rows from simulated ones (AUC below 0.55):
customers with what they did, impressions, auctions, baskets. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from lines import REPOSITORY, last_line

from zhitou.assembly import open_shop, read_run
from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.core.clock import SystemClock
from zhitou.events.sources.hillstrom import read_email_trial
from zhitou.events.sources.ipinyou import CAMPAIGNS, read_sample, read_training
from zhitou.events.sources.logged import BanditLog, read_bandit_log
from zhitou.loop.run import fit_market
from zhitou.market.acceptance import (
    AUCTIONS,
    Criterion,
    Report,
    apart_criterion,
    lift_criteria,
    mail_criteria,
    price_criteria,
)
from zhitou.market.bandit_fit import PUBLISHED, BanditFit, fit_bandit, item_rates
from zhitou.market.campaigns import demo_campaigns
from zhitou.market.config import public_logs
from zhitou.market.fit import Market
from zhitou.market.resemblance import baskets
from zhitou.market.responses import ARMS, Answers, Customers, MailResponse
from zhitou.market.rivals import AuctionFit, RivalPrices

PRICED = (1458, 2259, *CAMPAIGNS)
HELD_OUT = 0.25  # of the trial's customers
WORLDS, DAYS, EVERY = 8, 7, 6  # of the market's own ads; every sixth hour stands for all
SETS = 60  # of 80 of the market's ads, from each world


def clicks(fit: BanditFit, random: BanditLog, chance: Chance) -> list[Criterion]:
    """The published lifts again, and impressions of a simulated random policy beside real ones."""
    return [*lift_criteria(fit, chance), apart_criterion("impressions", *impressions(fit, random, chance), chance)]


def impressions(fit: BanditFit, log: BanditLog, chance: Chance) -> tuple[np.ndarray, np.ndarray]:
    """(real, simulated) rows: hour, what the visitor had clicked in all and of this item, item, place, click.

    Simulated: visitors of the first half of rows drawn at random, items and places anew, clicks by the fit with items
    of its own. Real: the other half.
    """
    draw = chance.stream("impressions")
    order = draw.permutation(len(log))
    known, held = order[: len(log) // 2], order[len(log) // 2 :]
    items = log.affinity.shape[1]
    item, slot = draw.integers(0, items, len(known)), draw.integers(0, len(fit.examination), len(known))
    rate = item_rates(fit.spread, fit.click_rate / float(fit.examination.mean()), (1, items), draw)[0]
    clicked = draw.random(len(known)) < rate[item] * fit.examination[slot]

    def rows(visitor: np.ndarray, item: np.ndarray, slot: np.ndarray, clicked: np.ndarray) -> np.ndarray:
        hour, own = log.time_s[visitor] // 3_600 % 24, log.affinity[visitor]
        columns = [hour, own.sum(axis=1), own[np.arange(len(item)), item], item, slot, clicked]
        return np.stack(columns, axis=1).astype(np.float64)

    return rows(held, log.item[held], log.slot[held], log.clicked[held]), rows(known, item, slot, clicked)


def mail(chance: Chance) -> list[Criterion]:
    """Hillstrom's arms, from a fit to three quarters of the customers; the others judge the rows."""
    trial = read_email_trial()
    customers, answers, arm = Customers.of_trial(trial), Answers.of_trial(trial), trial.arm.astype(np.int64)
    draw = chance.stream("mail")
    order = draw.permutation(len(trial))
    held, known = order[: int(HELD_OUT * len(order))], order[int(HELD_OUT * len(order)) :]
    fit = MailResponse.fit(customers.take(known), arm[known], answers.take(known))
    twins, arms = customers.take(known[: len(held)]), draw.integers(0, len(ARMS), len(held))
    real = np.column_stack([customers.take(held).table(), arm[held], answers.take(held).table()])
    made = np.column_stack([twins.table(), arms, fit.answer(twins, arms, draw).table()])
    told = mail_criteria(fit, customers, arm, answers, chance)
    return [*told, apart_criterion("customers and what they did", real, made, chance)]


def prices(chance: Chance) -> list[Criterion]:
    """Prices of all nine campaigns; auctions of the seven that have a sample, even rows fitted, odd ones held out."""
    told: list[Criterion] = []
    for campaign in PRICED:
        counts = read_training(campaign).price_counts
        drawn = RivalPrices.of(counts).draw(AUCTIONS, chance.stream("prices", campaign))
        told += price_criteria(str(campaign), counts, drawn)
    for campaign in CAMPAIGNS:
        log = read_sample(campaign)
        even = np.arange(len(log)) % 2 == 0
        fit = AuctionFit.fit(log.clicked[even], log.price[even], log.pctr[even])
        made = fit.draw(int((~even).sum()), chance.stream("auctions", campaign))
        real = (log.clicked[~even], log.price[~even], log.pctr[~even])
        sides = [np.column_stack([c, p, np.log(q)]).astype(np.float64) for c, p, q in (real, made)]
        told.append(apart_criterion(f"auctions of {campaign}", *sides, chance))
    return told


def shop(folder: Path, fit: BanditFit, chance: Chance) -> list[Criterion]:
    """The market of The Complete Journey: its own ads' lift, its baskets."""
    config, _ = read_run(folder)
    opened = open_shop(replace(config, market=public_logs()), folder, SystemClock())
    market, past = fit_market(opened), opened.everybody.before(opened.cut_s)
    campaigns = demo_campaigns(
        past, opened.items, start_s=opened.cut_s, days=DAYS, promotions=opened.promotions, chance=chance.child("shop")
    )
    book = AdBook.build(campaigns, opened.items)
    rates = own_rates(market, book, opened.cut_s, chance)
    everybody = lift_criteria(fit, chance, [rates[:, : one.items] for one in PUBLISHED])
    (own,) = [told for told, one in zip(everybody, PUBLISHED, strict=True) if one.mixed]
    later = opened.everybody.since(opened.cut_s)
    return [own, apart_criterion("baskets", *baskets(market, book, later, chance.child("baskets")), chance)]


def own_rates(market: Market, book: AdBook, start_s: int, chance: Chance) -> np.ndarray:
    """float64 [W, 80]: mean chance of a click of sets of the market's ads over a week, at the published rate."""
    mixed = next(one for one in PUBLISHED if one.mixed)
    sets = []
    for number in range(WORLDS):
        world = market.world(book, chance.child("own", number), start_s, DAYS)
        total, visits = np.zeros(len(book)), 0
        for tick in world.ticks():
            if tick.number % EVERY == 0:
                truth = world.truth(tick)[0]
                total, visits = total + truth.sum(axis=0), visits + len(truth)
        draw = chance.stream("sets", number)
        rate = total / visits
        sets += [rate[draw.permutation(len(book))[: mixed.items]] for _ in range(SETS)]
    table = np.asarray(sets)
    return table / table.mean(axis=1, keepdims=True) * mixed.random_rate


def main() -> None:
    """Fit, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, default=REPOSITORY / "out", help="folder of a finished demo")
    parser.add_argument("--quick", action="store_true", help="without The Complete Journey")
    args = parser.parse_args()
    begun = time.process_time()
    chance = Chance(2)  # the fits below draw from seed 1
    random, thompson = read_bandit_log("random"), read_bandit_log("bts")
    fit = fit_bandit(random, thompson, Chance(1))
    print(
        f"clicks {fit.click_rate:.2%}; spread of log click rates {fit.spread:.3f}, all items to everybody "
        f"{fit.spread_mixed:.3f} (the small log alone: {fit.spread_small[0]:.2f}, 95 % {fit.spread_small[1]:.2f} to "
        f"{fit.spread_small[2]:.2f}); learnt {fit.learnt_share:.3f}; places {np.round(fit.examination, 2).tolist()}, "
        f"p of no difference {fit.place_p_value:.2f}"
    )
    print(f"in use: {public_logs().click_rate:.2%}, {public_logs().ad_spread}, {public_logs().examination}\n")
    criteria = [*clicks(fit, random, chance), *mail(chance), *prices(chance)]
    if not args.quick:
        criteria += shop(args.run, fit, chance)
    report = Report(tuple(criteria))
    print("\n".join(report.lines()))
    figures = {"accepted": report.accepted, "criteria": len(criteria), "failed": [c.name for c in report.failed()]}
    figures |= {c.name: round(c.simulated, 4) for c in criteria if "fitted" not in c.name or "Thompson" in c.name}
    fitted = {"click_rate": round(fit.click_rate, 5), "spread": round(fit.spread, 3)}
    fitted |= {"spread_mixed": round(fit.spread_mixed, 3), "places": np.round(fit.examination, 3).tolist()}
    cpu_s = round(time.process_time() - begun, 1)
    last_line("market_accept", {"quick": args.quick, **figures, **fitted, "cpu_s": cpu_s})


if __name__ == "__main__":
    main()
