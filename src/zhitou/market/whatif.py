"""What would have happened under another budget, bid, cap or dearer rivals: answers from the shop's own log.

Every answer is the difference of two replays of the same requests (replay.py), one as things are and one changed.
Its interval holds the doubt about who comes (shoppers drawn again) and about the click rate (from the log's clicks);
that of a prediction also the luck of the clicks. Where the log cannot tell, the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zhitou.campaign.adbook import AdBook
from zhitou.core.chance import Chance
from zhitou.evaluation.experiment import LEVEL, Estimate
from zhitou.market.replay import HOUR_US, AuctionLog, Calibration, Change, Replayed, replay, same_policy
from zhitou.strategy.policies import Policy

FIGURES = ("impressions", "clicks", "spend")
DRAWS = 1_000
PRIOR_CLICKS = 20.0  # a campaign's click rate is shrunk to the shop's by as many
CLICKS_MIN = 30  # in the log, below which clicks and spend cannot be told
SHOWN_MIN = 100  # impressions of an ad, below which the log does not know it
SUPPORT_MIN = 0.8  # share of the impressions answered about that are of ads the log knows
SAME_POLICY_MIN = 0.99
HOURS_MIN = 48


@dataclass(frozen=True)
class Shop:
    """What a log is held again with. traffic: share of a day's requests by UTC hour. share: of the shop's requests
    that are in the log, if it was thinned by shopper."""

    book: AdBook
    policy: Policy
    traffic: tuple[float, ...]
    share: float = 1.0


@dataclass(frozen=True)
class Answer:
    """One figure of one question: as things are, changed, and the relative difference.

    verdict: "more", "less" or "inconclusive"; because: why inconclusive, else "".
    """

    figure: str
    before: Estimate
    after: Estimate
    change: Estimate
    verdict: str
    because: str


@dataclass(frozen=True)
class Prediction:
    """One figure of the past, predicted from what came before it. campaign: None for all together."""

    campaign: int | None
    figure: str
    predicted: Estimate
    happened: float

    @property
    def inside(self) -> bool:
        """Whether what happened lies in the interval."""
        return self.predicted.low <= self.happened <= self.predicted.high

    @property
    def error(self) -> float:
        """(predicted - happened) / happened; NaN where nothing happened."""
        return self.predicted.value / self.happened - 1 if self.happened else float("nan")


def calibrate(log: AuctionLog, book: AdBook) -> Calibration:
    """From what was seen and clicked: clicks over predicted clicks by slot (its examination is part of it), and of
    each campaign beside that, shrunk to 1 by PRIOR_CLICKS; 1 throughout where no ad was seen."""
    if not log.seen.any():
        return Calibration(np.ones(log.slots), np.ones(len(book.campaigns)))
    at = np.maximum(log.shown, 0)
    expected = np.where(log.seen, np.take_along_axis(log.pctr, at, axis=1), 0.0)
    whole = (log.clicked.sum() + 1) / (expected.sum() + 1)
    slot = (log.clicked.sum(axis=0) + PRIOR_CLICKS * whole) / (expected.sum(axis=0) + PRIOR_CLICKS)
    of, count = book.campaign[at], len(book.campaigns)
    due = np.bincount(of.ravel(), (expected * slot).ravel(), count)
    came = np.bincount(of.ravel(), (log.clicked & log.seen).ravel(), count)
    return Calibration(slot, (came + PRIOR_CLICKS) / (due + PRIOR_CLICKS))


def ask(log: AuctionLog, shop: Shop, change: Change, chance: Chance) -> tuple[Answer, ...]:
    """The question's figures over the log's span, for the campaign that is changed (all if none is named)."""
    calibration = calibrate(log, shop.book)
    held = [
        replay(log, shop.book, shop.policy, calibration, c, traffic=shop.traffic, budget_share=shop.share)
        for c in (Change(), change)
    ]
    clicks = _clicks(log, shop.book, change.campaign)
    draws = [_draws(log, shop, r, change.campaign, clicks, chance, luck=False) for r in held]
    because = _doubts(log, shop, held[1], change.campaign, clicks)
    answers = []
    for number, figure in enumerate(FIGURES):
        before, after = (drawn[number] for drawn in draws)
        ratio = _quantiles(np.divide(after, before, out=np.full_like(after, np.nan), where=before > 0) - 1)
        why = because[figure]
        if not why and not (ratio.low > 0 or ratio.high < 0):
            why = "the interval of the difference holds zero"
        verdict = "inconclusive" if why else "more" if ratio.low > 0 else "less"
        answers.append(Answer(figure, _quantiles(before), _quantiles(after), ratio, verdict, why))
    return tuple(answers)


def back_test(log: AuctionLog, shop: Shop, chance: Chance) -> tuple[Prediction, ...]:
    """The log's second half, predicted from its first half and the settings alone, beside what happened in it.

    Whole hours; traffic is taken to be that of the first half. Empty where the log is shorter than HOURS_MIN.
    """
    hours = int((log.time_us[-1] - log.time_us[0]) // HOUR_US) + 1 if len(log) else 0
    if hours < HOURS_MIN:
        return ()
    half = log.time_us[0] // HOUR_US + hours // 2
    early = log.take(log.time_us // HOUR_US < half)
    later = log.take((log.time_us // HOUR_US >= half) & (log.time_us // HOUR_US < half + hours // 2))
    if not early.seen.any():
        return ()
    spent = np.bincount(
        shop.book.campaign[np.maximum(early.shown, 0)].ravel(), early.spend_micros().ravel(), len(shop.book.campaigns)
    )
    held = replay(
        early,
        shop.book,
        shop.policy,
        calibrate(early, shop.book),
        Change(),
        traffic=shop.traffic,
        budget_share=shop.share,
        spent_micros=spent.astype(np.float64),
    )
    told = []
    for campaign in (None, *range(len(shop.book.campaigns))):
        clicks = _clicks(early, shop.book, campaign)
        drawn = _draws(early, shop, held, campaign, clicks, chance, luck=True)
        mine = _of_campaign(shop.book, later.shown, campaign)
        happened = (mine & later.seen).sum(), (mine & later.clicked).sum(), later.spend_micros()[mine].sum()
        for figure, draws, real in zip(FIGURES, drawn, happened, strict=True):
            told.append(Prediction(campaign, figure, _quantiles(draws), float(real) / shop.share))
    return tuple(told)


def _clicks(log: AuctionLog, book: AdBook, campaign: int | None) -> int:
    return int((log.clicked & _of_campaign(book, log.shown, campaign)).sum())


def _of_campaign(book: AdBook, ads: np.ndarray, campaign: int | None) -> np.ndarray:
    mine = ads >= 0
    return mine if campaign is None else mine & (book.campaign[np.maximum(ads, 0)] == campaign)


def _draws(
    log: AuctionLog, shop: Shop, held: Replayed, campaign: int | None, clicks: int, chance: Chance, *, luck: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(impressions, clicks, spend), float64 [DRAWS] each: shoppers drawn again, click rate drawn from its posterior.

    The same draws for every replay of a log, so that differences are those of the change. luck: also draw whether
    the clicks happen, and the shoppers of a second period, for a figure that is held against another period.
    """
    draw = chance.stream("whatif", -1 if campaign is None else campaign)
    mine = _of_campaign(shop.book, held.ad, campaign)
    who = np.where(log.shopper >= 0, log.shopper, log.shopper.max(initial=-1) + 1 + np.arange(len(log)))
    shoppers, of = np.unique(who, return_inverse=True)
    seen = _seen_share(log)
    columns = (mine * seen, np.where(mine, held.chance, 0.0) * seen, np.where(mine, held.spend_micros(), 0.0) * seen)
    sums = np.stack([np.bincount(of, column.sum(axis=1), len(shoppers)) for column in columns])
    drawn = np.empty((3, DRAWS))
    for number in range(DRAWS):
        weight = draw.poisson(1.0, len(shoppers)) + (draw.poisson(1.0, len(shoppers)) - 1 if luck else 0)
        drawn[:, number] = np.maximum(sums @ weight, 0.0)
    rate = draw.gamma(clicks + PRIOR_CLICKS, 1 / (clicks + PRIOR_CLICKS), DRAWS)
    drawn[1:] *= rate
    if luck:
        expected = np.maximum(drawn[1], 1e-12)
        drawn[2] *= draw.poisson(expected) / expected
        drawn[1] = draw.poisson(expected)
    return tuple(drawn / shop.share)


def _seen_share(log: AuctionLog) -> float:
    """Of the slots that were filled, how many browsers reported as seen; all of them where there was no report."""
    if not log.seen.any():
        return 1.0
    return float(log.seen.sum() / max(1, (log.shown >= 0).sum()))


def _doubts(log: AuctionLog, shop: Shop, after: Replayed, campaign: int | None, clicks: int) -> dict[str, str]:
    """figure -> why the log cannot tell it, "" where it can."""
    if not log.seen.any():
        return dict.fromkeys(FIGURES, "no ad was reported as seen; these figures are the models' alone")
    if (same := same_policy(log, shop.book, shop.policy)) < SAME_POLICY_MIN:
        return dict.fromkeys(FIGURES, f"only {same:.0%} of the log is of the policy in use")
    mine = _of_campaign(shop.book, after.ad, campaign)
    shown = np.bincount(log.shown[log.shown >= 0], minlength=len(shop.book))
    total = int(mine.sum())
    known = float((shown[after.ad[mine]] >= SHOWN_MIN).mean()) if total else 1.0
    if known < SUPPORT_MIN:
        why = f"{1 - known:.0%} of the impressions would be of ads that the log hardly shows"
        return dict.fromkeys(FIGURES, why)
    few = f"{clicks} clicks in the log are too few" if clicks < CLICKS_MIN else ""
    return {"impressions": "", "clicks": few, "spend": few}


def _quantiles(draws: np.ndarray) -> Estimate:
    """Mean of the draws and their central 95 %; an interval of everything where a draw is no number."""
    if np.isnan(draws).any():
        return Estimate(float("nan"), -np.inf, np.inf)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(draws.mean()), float(low), float(high))
