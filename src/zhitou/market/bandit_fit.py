"""Clicks as the Open Bandit Data show them: how often, how unequal the items, how much each place is looked at.

I = items, S = places, W = worlds, D = draws of a posterior.

Three sources, of very different worth. The small log (10,000 random impressions, 46 clicks, campaign "men") gives the
click rate and the places, and next to nothing about how unequal the items are. That comes from the published click
rates of 26 million impressions (PUBLISHED), through a model of how they came about, and from how unequally the
Bernoulli Thompson policy of the small log chose.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, minimize
from scipy.special import logsumexp
from scipy.stats import chi2

from zhitou.core.chance import Chance
from zhitou.events.sources.logged import BanditLog

BATCHES = 10  # in which the policy learns; it is not told of every click at once
DRAWS = 32  # of the posterior in each batch
LAST_DRAWS = 256  # of the posterior that the fixed policy chooses by
WORLDS = 120  # behind each point of the fit
LIFT_ERROR = 0.02  # of a published lift (its click rates have two digits), for the weight of the fit
CHOICE_ERROR = 0.15  # of the log of the number of items chosen
SPREADS = (0.20, 0.24, 0.28, 0.32, 0.37)
SHARES = (0.06, 0.10, 0.16, 0.25, 0.40)


@dataclass(frozen=True)
class Published:
    """A campaign of the whole Open Bandit Data. impressions of the random policy; click rates of both policies.

    Saito, Aihara, Matsutani, Narita: "Open Bandit Dataset and Pipeline", arXiv 2008.07146, and the project's tables.
    """

    campaign: str
    items: int
    impressions: int
    random_rate: float
    thompson_rate: float
    mixed: bool  # men's and women's items together, to everybody

    @property
    def lift(self) -> float:
        """Of Bernoulli Thompson sampling over random."""
        return self.thompson_rate / self.random_rate - 1


PUBLISHED = (
    Published("all", 80, 1_374_327, 0.0035, 0.0050, True),
    Published("men", 34, 452_949, 0.0051, 0.0067, False),
    Published("women", 46, 864_585, 0.0048, 0.0064, False),
)


@dataclass(frozen=True)
class BanditFit:
    """click_rate: of a random item. spread: standard deviation of the items' log click rates (they are lognormal) in
    the campaigns of one gender; spread_mixed: in the one that shows all items to everybody.

    learnt_share: the policy has learnt as much as `learnt_share` x the impressions of its campaign's random log can
    teach. examination: float64 [S], each place against the first, not rising. place_p_value: of no difference between
    places. spread_small: (most likely, low, high) of the spread by the small log alone, 95 %.
    """

    click_rate: float
    spread: float
    spread_mixed: float
    learnt_share: float
    examination: np.ndarray
    place_p_value: float
    spread_small: tuple[float, float, float]


@dataclass(frozen=True)
class Replay:
    """Lift of the policy over random, mean over worlds with its standard error; chosen: items it chose among, as
    1 / sum of squared shares, the geometric mean over worlds."""

    lift: float
    error: float
    chosen: float


def fit_bandit(random: BanditLog, thompson: BanditLog, chance: Chance) -> BanditFit:
    """The fit. random, thompson: the small logs of campaign "men".

    Click rate: the clicks of the small log and of the published one together. Spread and learnt share: least squared
    distance to the two lifts of the single-gender campaigns and to the number of items the small log's policy chose
    among, on a quadratic surface through simulated worlds; then the mixed spread by the third lift. Places: clicks
    over those expected by item, both logs together, made not rising.
    """
    whole = PUBLISHED[1]
    clicks = random.clicked.sum() + whole.random_rate * whole.impressions
    spread, share = _spread_and_share(chosen_among(thompson), chance)
    examination, p_value = fit_places(random, thompson)
    return BanditFit(
        click_rate=float(clicks / (len(random) + whole.impressions)),
        spread=spread,
        spread_mixed=_mixed_spread(share, chance),
        learnt_share=share,
        examination=examination,
        place_p_value=p_value,
        spread_small=spread_of_counts(random),
    )


def chosen_among(log: BanditLog) -> float:
    """Among how many items a policy chose: 1 / sum of squared shares of its impressions."""
    share = np.bincount(log.item) / len(log)
    return float(1 / (share**2).sum())


def replay(
    fit: BanditFit, campaign: Published, worlds: int, chance: Chance, rates: np.ndarray | None = None
) -> Replay:
    """The published comparison in `worlds` simulated campaigns: a policy that has learnt, then fixed, against random.

    rates: float64 [W, I], the items' true click rates; drawn from the fit if None. The lift is noise-free: chances
    of the chosen items, not clicks.
    """
    draw = chance.stream("bandit-replay", campaign.campaign)
    if rates is None:
        spread = fit.spread_mixed if campaign.mixed else fit.spread
        rates = item_rates(spread, campaign.random_rate, (worlds, campaign.items), draw)
    share = _learnt_choice(rates, fit.learnt_share * campaign.impressions, draw)
    lift = (share * rates).sum(axis=1) / rates.mean(axis=1) - 1
    chosen = float(np.exp(-np.log((share**2).sum(axis=1)).mean()))
    return Replay(float(lift.mean()), float(lift.std(ddof=1) / np.sqrt(len(lift))), chosen)


def item_rates(spread: float, rate: float, shape: tuple[int, int], draw: np.random.Generator) -> np.ndarray:
    """float64 [W, I]: lognormal click rates of mean `rate` whose logs have deviation `spread`."""
    return np.minimum(rate * np.exp(spread * draw.standard_normal(shape) - spread**2 / 2), 1.0)


def fit_places(*logs: BanditLog) -> tuple[np.ndarray, float]:
    """(examination float64 [S], p-value of the places being alike).

    A log's items differ between places, so a place's clicks are held against those its items would bring at the log's
    own rates, shrunk to the mean by ten clicks.
    """
    places = 1 + max(int(log.slot.max()) for log in logs)
    clicks, expected = np.zeros(places), np.zeros(places)
    for log in logs:
        mean = log.clicked.mean()
        shown = np.bincount(log.item)
        rate = (np.bincount(log.item, log.clicked) + 10) / (shown + 10 / mean)
        clicks += np.bincount(log.slot, log.clicked, places)
        expected += np.bincount(log.slot, rate[log.item], places)
    expected *= clicks.sum() / expected.sum()
    statistic = float(((clicks - expected) ** 2 / expected).sum())
    falling = isotonic_regression(clicks / expected, weights=expected, increasing=False).x
    return falling / falling[0], float(chi2.sf(statistic, places - 1))


def spread_of_counts(log: BanditLog) -> tuple[float, float, float]:
    """(most likely, low, high) spread of lognormal item rates given clicks per item, Poisson; 95 % by likelihood.

    low is 0 and high the end of the grid where the log does not bound it.
    """
    shown, clicks = np.bincount(log.item), np.bincount(log.item, log.clicked)
    nodes, weights = np.polynomial.hermite_e.hermegauss(31)
    grid = np.linspace(0.0, 1.5, 61)
    likelihood = np.empty(len(grid))
    for at, spread in enumerate(grid):
        rate = log.clicked.mean() * np.exp(spread * nodes - spread**2 / 2)
        expected = shown[:, None] * rate[None, :]
        terms = clicks[:, None] * np.log(expected) - expected
        likelihood[at] = logsumexp(terms, axis=1, b=weights[None, :]).sum()
    inside = grid[likelihood >= likelihood.max() - chi2.ppf(0.95, 1) / 2]
    return float(grid[likelihood.argmax()]), float(inside[0]), float(inside[-1])


def _learnt_choice(rates: np.ndarray, impressions: float, draw: np.random.Generator) -> np.ndarray:
    """float64 [W, I]: with which shares Thompson sampling chooses once it has learnt from so many impressions."""
    won, lost = np.ones(rates.shape), np.ones(rates.shape)
    for _ in range(BATCHES):
        share = _thompson_share(won, lost, DRAWS, draw)
        shown = draw.multinomial(int(impressions / BATCHES), share)
        clicks = draw.binomial(shown, rates)
        won, lost = won + clicks, lost + shown - clicks
    return _thompson_share(won, lost, LAST_DRAWS, draw)


def _thompson_share(won: np.ndarray, lost: np.ndarray, draws: int, draw: np.random.Generator) -> np.ndarray:
    worlds, items = won.shape
    best = draw.beta(won, lost, size=(draws, worlds, items)).argmax(axis=2)
    counts = np.zeros((worlds, items))
    np.add.at(counts, (np.broadcast_to(np.arange(worlds), best.shape), best), 1.0)
    return counts / draws


def _trial(spread: float, share: float, campaign: Published, chance: Chance, worlds: int = WORLDS) -> Replay:
    fit = BanditFit(campaign.random_rate, spread, spread, share, np.ones(1), 1.0, (0.0, 0.0, 0.0))
    return replay(fit, campaign, worlds, chance.child("bandit-fit"))


def _spread_and_share(chosen: float, chance: Chance) -> tuple[float, float]:
    """Minimum of the squared, scaled distances, each distance a quadratic of (log spread, log share)."""
    single = [one for one in PUBLISHED if not one.mixed]
    points, distances = [], []
    for spread in SPREADS:
        for share in SHARES:
            told = [_trial(spread, share, one, chance) for one in single]
            far = [(r.lift - p.lift) / LIFT_ERROR for r, p in zip(told, single, strict=True)]
            far.append(np.log(told[0].chosen / chosen) / CHOICE_ERROR)
            points.append((np.log(spread), np.log(share)))
            distances.append(far)
    at: np.ndarray = np.asarray(points)
    off: np.ndarray = np.asarray(distances)
    centre, total = at.mean(axis=0), (off**2).sum(axis=1)
    near = 1 / (1 + total / np.quantile(total, 0.2))  # the surface need only hold near its foot
    surface = np.linalg.lstsq(_quadratic(at - centre) * near[:, None], off * near[:, None], rcond=None)[0]

    def loss(point: np.ndarray) -> float:
        return float(((_quadratic((point - centre)[None, :]) @ surface) ** 2).sum())

    bounds = [(np.log(grid[0]), np.log(grid[-1])) for grid in (SPREADS, SHARES)]
    found = np.exp(minimize(loss, at[total.argmin()], method="Nelder-Mead", bounds=bounds).x)
    return float(found[0]), float(found[1])


def _mixed_spread(share: float, chance: Chance) -> float:
    """Where the lift of the mixed campaign, rising with the spread, crosses the published one."""
    mixed = next(one for one in PUBLISHED if one.mixed)
    lifts = [_trial(spread, share, mixed, chance, 4 * WORLDS).lift for spread in SPREADS]
    return float(np.exp(np.interp(mixed.lift, lifts, np.log(SPREADS))))


def _quadratic(at: np.ndarray) -> np.ndarray:
    x, y = at[:, 0], at[:, 1]
    return np.stack([np.ones(len(at)), x, y, x * x, x * y, y * y], axis=1)
