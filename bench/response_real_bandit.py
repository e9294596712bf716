"""Open Bandit, campaign "men": 10,000 impressions each of a random policy and of Thompson sampling. R = rows.

What is known to all: 46 and 69 clicks. That is little, and most of what one would like to know cannot be decided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logit

from zhitou.core.chance import Chance
from zhitou.evaluation.calibration import (
    RATIO_WITHIN,
    calibration_error_by_chance,
    calibration_ratio,
    expected_calibration_error,
)
from zhitou.evaluation.classification import auc, entropy, log_losses
from zhitou.evaluation.experiment import Claim, Estimate, Moments, relative_lift, sample_size
from zhitou.evaluation.offpolicy import importance_weights, snips
from zhitou.events.sources.logged import OPEN_BANDIT_ITEMS, BanditLog, read_bandit_log
from zhitou.response.baselines import BASELINES, Baseline
from zhitou.response.compare import in_slots
from zhitou.response.config import ResponseConfig
from zhitou.response.position import appeals, fit_positions, share_predicted
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response

CUT = 0.7
SLOTS = 3


def bandit(chance: Chance, draws: int) -> dict[str, Any]:
    """Print what the two logs decide and what not; the same as figures. draws: bootstrap samples."""
    print("\n== Open Bandit, men: random policy and Bernoulli TS, a week of November 2019 ==")
    logs = {policy: read_bandit_log(policy) for policy in ("random", "bts")}
    known = [np.unique(np.concatenate([log.user[:, at] for log in logs.values()])) for at in range(4)]
    rows = Rows.concat(*(rows_of(log, known) for log in logs.values()))
    cut_s = rows.cut_s(CUT)
    earlier, later = rows.split(cut_s)
    fits = {"zhitou": fit_response, "logistic": BASELINES["logistic"], "lightgbm": BASELINES["trees"]}
    fits |= {"items": fit_items, "constant": BASELINES["constant"]}
    models = {name: fit(earlier, ResponseConfig(), chance) for name, fit in fits.items()}
    answers = {name: in_slots(model, later)[0] for name, model in models.items()}
    figures = _models(answers, later.clicked, int(earlier.clicked.sum()), chance, draws)
    figures |= _positions(logs, cut_s)
    return figures | _policies(logs, known, models["zhitou"], cut_s)


def rows_of(log: BanditLog, known: list[np.ndarray], item: np.ndarray | None = None) -> Rows:
    """The log as rows of a response model; with `item` (int [R]) as if that one had been shown.

    Fields: the visitor's earlier clicks on this item and on all, the item's number, the hour, marks for each value of
    the visitor's four (`known`) and the item's three categories.
    """
    item = log.item if item is None else item
    hour = log.time_s // 3_600 % 24
    columns = {
        "affinity": log.affinity[np.arange(len(log)), item],
        "affinity_all": log.affinity.sum(1),
        "item_number": log.item_number[item],
        "hour_sin": np.sin(hour * np.pi / 12),
        "hour_cos": np.cos(hour * np.pi / 12),
    }
    told = [(f"user_{at}", log.user[:, at], words) for at, words in enumerate(known)]
    told += [(f"item_{at}", words[item], np.unique(words)) for at, words in enumerate(log.item_about.T)]
    for name, values, words in told:
        columns |= {f"{name}_{number}": values == word for number, word in enumerate(words)}
    none = np.zeros(len(log), dtype=bool)
    return Rows(
        fields=np.stack([np.asarray(v, dtype=np.float32) for v in columns.values()], 1),
        names=tuple(columns),
        slot=log.slot,
        ad=item,
        clicked=log.clicked,
        converted=none,
        mature=none,
        time_s=log.time_s,
        propensity=log.propensity,
    )


def fit_items(rows: Rows, config: ResponseConfig, chance: Chance) -> Baseline:
    """Each item's click rate, drawn towards all items' by how little is known (response.position.appeals)."""
    clicks, shown = _table(rows.ad, rows.slot, rows.clicked), _table(rows.ad, rows.slot)
    level = logit(appeals(clicks, shown, np.ones(SLOTS)))
    never = float(logit(config.expected_cvr))
    return Baseline(
        "items",
        "items",
        rows.names,
        np.ones(SLOTS),
        lambda fields, slot, ad: level[ad],
        lambda fields, slot, ad: np.full(len(fields), never),
    )


def _models(
    answers: dict[str, np.ndarray], clicked: np.ndarray, taught: int, chance: Chance, draws: int
) -> dict[str, Any]:
    print(
        f"first 70 % of the time teach ({taught} clicks), the rest judges: {clicked.sum()} clicks of {len(clicked):,}"
    )
    print(f"{'model':10}{'NE':>24}{'NE - zhitou':>30} {'AUC':>24}{'predicted / observed':>26}{'ECE':>26}")
    samples = _samples(answers, clicked, chance.stream("bandit bootstrap"), draws)
    figures: dict[str, Any] = {"bandit_clicks": int(clicked.sum()), "bandit_taught_clicks": taught}
    undecided, decided, uncertain, beats = [], [], [], []
    for name, p in answers.items():
        whole = _scores({name: p, "zhitou": answers["zhitou"]}, clicked)[name]
        ne, behind, ranks, ratio, ece = (
            _interval(value, samples[name][:, at]) for at, value in enumerate(whole.tolist())
        )
        by_chance = calibration_error_by_chance(p, chance.stream("bandit ece", name)).value
        print(f"{name:10}{ne!s:>24} {behind!s:>29} {ranks!s:>24}{ratio!s:>26}{ece.value:>16.2g} ({by_chance:.2g})")
        if name != "zhitou":
            undecided += [name] if behind.low <= 0 <= behind.high else []
            decided += [f"{name} better"] if behind.high < 0 else [f"{name} worse"] if behind.low > 0 else []
            figures |= {f"bandit_{name}_behind_low": behind.low, f"bandit_{name}_behind_high": behind.high}
        beats += [name] if ne.high < 1 else []
        exact = calibration_ratio(clicked, p)
        uncertain += [name] if exact.low < RATIO_WITHIN[0] and exact.high > RATIO_WITHIN[1] else []
        told = {"ne": ne.value, "auc": ranks.value, "auc_low": ranks.low, "ratio": exact.value, "ece": ece.value}
        figures |= {f"bandit_{name}_{key}": value for key, value in told.items()}
        figures |= {f"bandit_{name}_ratio_low": exact.low, f"bandit_{name}_ratio_high": exact.high}
    print(f"better or worse than zhitou: cannot be decided for {_list(undecided)}; decided: {_list(decided)}")
    print(f"shown to beat a constant that knew the later rate (NE below 1): {_list(beats)}")
    print(f"right to 3 %, or off by more: cannot be decided for {_list(uncertain)}")
    return figures | {"bandit_undecided": len(undecided), "bandit_beat_base_rate": len(beats)}


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"


def _scores(answers: dict[str, np.ndarray], clicked: np.ndarray) -> dict[str, np.ndarray]:
    """{model: NE, NE - zhitou, AUC, ratio, ECE}."""
    base = entropy(float(clicked.mean()))
    loss = {name: float(log_losses(clicked, p).mean()) / base for name, p in answers.items()}
    return {
        name: np.array(
            [
                loss[name],
                loss[name] - loss["zhitou"],
                auc(clicked, p).value,
                p.sum() / clicked.sum(),
                expected_calibration_error(clicked, p),
            ]
        )
        for name, p in answers.items()
    }


def _samples(
    answers: dict[str, np.ndarray], clicked: np.ndarray, rng: np.random.Generator, draws: int
) -> dict[str, np.ndarray]:
    """{model: float [draws, 5]}: the scores of rows drawn with replacement, the same rows for all models."""
    drawn = []
    for _ in range(draws):
        rows = rng.integers(0, len(clicked), len(clicked))
        drawn.append(_scores({name: p[rows] for name, p in answers.items()}, clicked[rows]))
    return {name: np.stack([one[name] for one in drawn]) for name in answers}


def _interval(value: float, samples: np.ndarray) -> Estimate:
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def _positions(logs: dict[str, BanditLog], cut_s: int) -> dict[str, Any]:
    """The effect of the slot: items were put there at random, so nothing but chance is between it and the truth."""
    figures: dict[str, Any] = {}
    print("slots (left, middle, right), relative to the left one, the item held fixed:")
    for name, log in logs.items():
        found = fit_positions(_table(log.item, log.slot, log.clicked), _table(log.item, log.slot))
        told = ", ".join(str(effect) for effect in found.effects[1:])
        word = "a difference" if found.p_value < 0.05 else "no difference can be decided"
        print(f"  {name:7} {told}; {found.clicks_used} clicks, p = {found.p_value:.2f}: {word}")
        figures[f"bandit_{name}_slot_p"] = found.p_value
        for slot, effect in enumerate(found.effects[1:], start=1):
            figures |= {f"bandit_{name}_slot{slot}": effect.value, f"bandit_{name}_slot{slot}_low": effect.low}
            figures[f"bandit_{name}_slot{slot}_high"] = effect.high
    items = np.concatenate([log.item for log in logs.values()])
    slots = np.concatenate([log.slot for log in logs.values()])
    clicked = np.concatenate([log.clicked for log in logs.values()])
    early = np.concatenate([log.time_s < cut_s for log in logs.values()])
    parts = [(_table(items[w], slots[w], clicked[w]), _table(items[w], slots[w])) for w in (early, ~early)]
    theta = np.array([effect.value for effect in fit_positions(*parts[0]).effects])
    clicks, shown = parts[1]
    gain = share_predicted(clicks, shown * theta) - share_predicted(clicks, shown)
    of_click = np.log(theta * shown.sum(1, keepdims=True) / (shown @ theta)[:, None])  # what each click gains
    error = float(np.sqrt((clicks * (of_click - gain) ** 2).sum())) / clicks.sum()
    found = Estimate.normal(gain, error)
    word = "cannot be decided" if found.low <= 0 <= found.high else "decided"
    print(f"  learnt on the first 70 %, the slot of a later click is foretold better by {found} nats a click: {word}")
    return figures | {"bandit_slot_gain": found.value, "bandit_slot_gain_low": found.low}


def _policies(logs: dict[str, BanditLog], known: list[np.ndarray], model: Any, cut_s: int) -> dict[str, Any]:
    """What other policies would have earned, where the log can say, beside what they did earn."""
    random, bts = logs["random"], logs["bts"]
    ctr = {name: Moments.of(log.clicked) for name, log in logs.items()}
    lift = relative_lift(ctr["bts"], ctr["random"])
    verdict = Claim("BTS over random", 0.3).verdict(lift)
    needed = sample_size(ctr["random"].mean, 0.3)
    print(f"clicked when run: random {ctr['random'].interval()}, BTS {ctr['bts'].interval()}")
    print(f"  BTS over random {lift}; '+30 %' is {verdict}; +30 % takes about {needed:,} impressions a policy")
    uniform = 1 / OPEN_BANDIT_ITEMS
    early, late = bts.time_s < cut_s, random.time_s >= cut_s
    shown = _table(bts.item[early], bts.slot[early]) + 1
    as_bts = (shown / shown.sum(0))[random.item, random.slot]
    judged = _part(random, late)
    every = []
    for item in range(OPEN_BANDIT_ITEMS):
        asked_for = rows_of(judged, known, np.full(len(judged), item))
        every.append(model.predict(asked_for.fields, asked_for.ad)[0])
    best = np.argmax(np.stack(every, 1), 1) == judged.item
    asked = {
        "random, from the log of BTS": (bts, np.full(len(bts), uniform)),
        "BTS as it showed before the cut, from the random log": (random, as_bts),
        "always zhitou's best item, from the random log": (judged, best.astype(float)),
        "zhitou's best one time in five, else random": (judged, 0.8 * uniform + 0.2 * best),
    }
    figures = {"bandit_lift": lift.value, "bandit_lift_low": lift.low, "bandit_plus_30": verdict}
    print("clicked if run, by self-normalised importance weights:")
    for at, (name, (log, target)) in enumerate(asked.items()):
        value = snips(log.clicked, importance_weights(target, log.propensity))
        print(f"  {name}: {value.estimate if value.refusal is None else value.refusal}; ess {value.overlap.ess:,.0f}")
        figures[f"bandit_policy{at}"] = value.estimate.value if value.estimate else value.refusal
        if value.estimate:
            figures |= {f"bandit_policy{at}_low": value.estimate.low, f"bandit_policy{at}_high": value.estimate.high}
    return figures


def _part(log: BanditLog, rows: np.ndarray) -> BanditLog:
    per_row = ("time_s", "item", "slot", "clicked", "propensity", "affinity", "user")
    kept = {name: getattr(log, name)[rows] for name in per_row}
    return BanditLog(policy=log.policy, item_about=log.item_about, item_number=log.item_number, **kept)


def _table(item: np.ndarray, slot: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """float64 [items, slots]: how many rows, or how much weight."""
    counts = np.zeros((OPEN_BANDIT_ITEMS, SLOTS))
    np.add.at(counts, (item, slot), 1.0 if weight is None else weight.astype(float))
    return counts
