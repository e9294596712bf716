"""How far off is a conversion rate read while conversions are still coming, and what does the delay model leave?

    python bench/delay.py [--quick] [--seeds 100] [--clicks 200000] [--worlds exponential lognormal]

Worlds of 7 days of clicks at an even rate, read at the end of day 7, 2 % conversions of 2.5 days of mean delay:
`exponential`; `weibull` (shape 0.7); `lognormal` (sd of the log 1) whose conversions are refunded with 10 %, after 2
days on average; `two speeds` (40 % within the hour or two, the others exponential). Estimates of conversions per
click, over the truth: naive (conversions so far per click), those of the clicks that are at least 3 or 5 days old,
each family of zhitou.response.waits, and the one that fit_delay chooses by BIC; then the share that stays after
refunds, and conversions within 6 days by the product limit, which assumes no shape. Bias is the mean over seeds,
beside it twice its standard error; sd is what one reading is off by; cover: how often the 95 % interval held the
truth. `seconds` is CPU of a whole fit, all families and refunds. Then pCVR learnt by fit_response from young clicks,
with and without the delay (a tenth of the seeds).

--quick: 5 seeds. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
from lines import last_line
from scipy.special import gamma
from threadpoolctl import threadpool_limits

from zhitou.core.chance import Chance
from zhitou.evaluation.classification import conversion_rate_ignoring_delay
from zhitou.response.delay import Clicks, conversions_within, fit_delay
from zhitou.response.practice import practice
from zhitou.response.train import fit_response
from zhitou.response.waits import FAMILIES

DAY = 86_400
DAYS, MEAN_DAYS, CVR, REFUNDED = 7, 2.5, 0.02, 0.10
WORLDS = ("exponential", "weibull", "lognormal", "two speeds")
HORIZON_DAYS = 6


def world(name: str, clicks: int, chance: Chance) -> tuple[Clicks, float]:
    """(the clicks as known at the end of day 7, true conversions per click within HORIZON_DAYS)."""
    rng = chance.stream("delay", name)
    delay = {
        "exponential": lambda n: rng.exponential(MEAN_DAYS, n),
        "weibull": lambda n: MEAN_DAYS / gamma(1 + 1 / 0.7) * rng.weibull(0.7, n),
        "lognormal": lambda n: rng.lognormal(math.log(MEAN_DAYS) - 0.5, 1.0, n),
        "two speeds": lambda n: np.where(
            rng.random(n) < 0.4, rng.exponential(0.05, n), rng.exponential((MEAN_DAYS - 0.4 * 0.05) / 0.6, n)
        ),
    }[name]
    click_s = rng.uniform(0, DAYS * DAY, clicks)
    conversion_s = np.where(rng.random(clicks) < CVR, click_s + delay(clicks) * DAY, np.nan)
    share = REFUNDED if name == "lognormal" else 0.0
    refund_s = np.where(rng.random(clicks) < share, conversion_s + rng.exponential(2 * DAY, clicks), np.nan)
    within = CVR * float((delay(1_000_000) <= HORIZON_DAYS).mean())
    return Clicks.known_at(DAYS * DAY, click_s, conversion_s, refund_s), within


def waited(clicks: Clicks, days: int) -> float:
    """Conversions per click among the clicks that are at least so many days old, as known now."""
    old = clicks.age_s >= days * DAY
    return float(clicks.converted[old].mean())


def readings(name: str, clicks: Clicks, within: float) -> tuple[dict[str, float], dict[str, float]]:
    """(estimate over truth, of each method; what else is reported)."""
    out = {"naive": conversion_rate_ignoring_delay(np.ones(len(clicks)), clicks.converted).value / CVR}
    out |= {f"waiting {k} days": waited(clicks, k) / CVR for k in (3, 5)}
    out |= {family: fit_delay(clicks, family=family, refunds=False).cvr.value / CVR for family in FAMILIES}
    began = time.process_time()
    chosen = fit_delay(clicks)
    more: dict[str, Any] = {"seconds": time.process_time() - began, "family": chosen.conversion.family}
    out["chosen"] = chosen.cvr.value / CVR
    more["cover"] = float(chosen.cvr.low <= CVR <= chosen.cvr.high)
    if name == "lognormal":
        kept = CVR * (1 - REFUNDED)
        so_far = (clicks.converted & np.isnan(clicks.refund_s)).mean()
        out["naive, net of refunds"], out["chosen, net of refunds"] = so_far / kept, chosen.net_cvr.value / kept
        more["net_cover"] = float(chosen.net_cvr.low <= kept <= chosen.net_cvr.high)
    product = conversions_within(clicks, HORIZON_DAYS * DAY)
    out[f"within {HORIZON_DAYS} days, product limit"] = product.value / within
    windowed = fit_delay(clicks, window_s=HORIZON_DAYS * DAY, refunds=False)
    out[f"within {HORIZON_DAYS} days, chosen"] = windowed.cvr.value / within
    return out, more


def report(name: str, seeds: int, clicks: int) -> dict[str, Any]:
    """One world over all seeds: printed, and as figures."""
    found: dict[str, list[float]] = defaultdict(list)
    more: dict[str, list[Any]] = defaultdict(list)
    for seed in range(seeds):
        estimates, rest = readings(name, *world(name, clicks, Chance(seed)))
        for key, value in estimates.items():
            found[key].append(100 * (value - 1))
        for key, value in rest.items():
            more[key].append(value)
    print(f"\n{name}: {seeds} seeds of {clicks:,} clicks; chosen: {dict(Counter(more['family']))}")
    print(f"{'conversions per click':38s}{'bias, %':>18s}{'sd, %':>10s}")
    figures: dict[str, Any] = {}
    prefix = name.replace(" ", "_")
    for key, values in found.items():
        sd = float(np.std(values, ddof=1))
        print(f"{key:38s}{np.mean(values):>10.2f} ± {2 * sd / seeds**0.5:<5.2f}{sd:>10.2f}")
        if key in ("naive", "waiting 5 days", "exponential", "weibull") or key.startswith(("chosen", "within")):
            figures[f"{prefix}_{key.replace(',', '').replace(' ', '_')}_bias_percent"] = round(
                float(np.mean(values)), 3
            )
    figures[f"{prefix}_chosen_sd_percent"] = round(float(np.std(found["chosen"], ddof=1)), 3)
    for key in ("cover", "net_cover"):
        if more[key]:
            figures[f"{prefix}_{key}"] = round(float(np.mean(more[key])), 3)
    figures[f"{prefix}_seconds_median"] = round(float(np.median(more["seconds"])), 3)
    print({k: v for k, v in figures.items() if "cover" in k or "seconds" in k})
    return figures


def young_rows(seeds: int) -> dict[str, float]:
    """pCVR of models taught on a practice week whose conversions take 3 days, over the true pCVR of its clicks."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for seed in range(seeds):
        made = practice(60_000, Chance(seed), ctr=0.1, cvr=0.1)
        rng = Chance(seed).stream("young rows")
        click_s = made.rows.time_s.astype(np.float64)
        now_s = float(click_s.max()) + 1
        will = made.rows.clicked & (rng.random(len(click_s)) < made.pcvr)
        sale_s = np.where(will, click_s + rng.exponential(3 * DAY, len(click_s)), np.nan)
        known = will & (sale_s <= now_s)
        mature = click_s + 5 * DAY <= now_s
        rows = replace(made.rows, converted=known, mature=mature)
        at = made.rows.clicked
        delay = fit_delay(Clicks.known_at(now_s, click_s[at], sale_s[at]))
        matured = delay.matured(now_s - click_s)
        everything = replace(rows, mature=np.ones(len(rows), dtype=bool))
        models = {
            "ignoring_delay": fit_response(everything, chance=Chance(1)),
            "waiting_5_days": fit_response(rows, chance=Chance(1)),
            "with_delay": fit_response(rows, chance=Chance(1), matured=matured),
        }
        for name, model in models.items():
            pcvr = model.predict(rows.fields[at], rows.ad[at])[1]
            ratios[name].append(100 * (pcvr.mean() / made.pcvr[at].mean() - 1))
    print(f"\npCVR of a response model on the clicks of a week, predicted over true, {seeds} seeds")
    for name, values in ratios.items():
        half = 2 * float(np.std(values, ddof=1)) / seeds**0.5
        print(f"{name:38s}{np.mean(values):>10.2f} ± {half:<5.2f} %")
    return {f"pcvr_{name}_bias_percent": round(float(np.mean(v)), 2) for name, v in ratios.items()}


def main() -> None:
    """All worlds, then the response model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--clicks", type=int, default=200_000)
    parser.add_argument("--worlds", nargs="*", choices=WORLDS, default=list(WORLDS))
    args = parser.parse_args()
    seeds = 5 if args.quick else args.seeds
    figures: dict[str, Any] = {"quick": args.quick, "seeds": seeds, "clicks": args.clicks}
    for name in args.worlds:
        figures |= report(name, seeds, args.clicks)
    figures |= young_rows(max(3, seeds // 10))
    last_line("delay", figures)


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
