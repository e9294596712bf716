"""From logged rows to a DeepResponse: the line, a network on top of it, calibration and doubt. R = rows.

Early rows teach, the later ones stop, gate and calibrate. Rows without a click are thinned, for the line once and
for the network anew each epoch; both are corrected in the odds, exactly, so that what serves is about all rows.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import expit

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.learning.fit import FitReport, fit
from zhitou.learning.progress import Progress
from zhitou.response.batches import Thinned
from zhitou.response.calibrate import settled
from zhitou.response.deep import DeepResponse, coded, groups_of
from zhitou.response.deep_config import DeepConfig
from zhitou.response.deep_doubt import Doubt
from zhitou.response.deep_inputs import Codes, Side
from zhitou.response.deep_module import DeepNetwork, DeepSize
from zhitou.response.folds import Folds, examined
from zhitou.response.groups import calibrate_groups
from zhitou.response.late import refuse_wrong_matured
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response, gate, one_core, relearnt, thinned

_NO_NETWORK = 2**62  # clicks that the line's own network would need
_LINE_LATER = 0.02  # of the rows that teach the line, to keep: it is calibrated here, on later ones
_DOUBT_ROWS = 100_000


def fit_deep(
    rows: Rows,
    config: DeepConfig | None = None,
    chance: Chance | None = None,
    side: Side | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    matured: np.ndarray | None = None,
) -> DeepResponse:
    """The deep model for these rows, saved to `folder` if one is given. Same rows, config and seed: the same bytes.

    side: what is known beside the fields; without it, the ad's number alone. Below the line's `clicks_least` clicks,
    or where later rows bear no network out, it is the line. Refused (ConfigError): no rows, a side of other rows.
    matured: as for `train.fit_response`.
    """
    config, chance, side = config or DeepConfig(), chance or Chance(0), side or Side.nothing(rows.ad)
    if not len(rows):
        raise ConfigError("a response model needs rows; use baselines.fit_constant until something was shown")
    if len(side.request) != len(rows):
        raise ConfigError(f"expected a side of {len(rows):,} rows, got {len(side.request):,}; use the same log")
    with one_core():
        if matured is not None:
            refuse_wrong_matured(matured, rows)
            matured = np.asarray(matured, dtype=np.float64)
        response = _fit(rows, config, chance, side, progress, matured)
    if folder is not None:
        response.save(folder)
    return response


def _fit(
    rows: Rows,
    config: DeepConfig,
    chance: Chance,
    side: Side,
    progress: Progress | None,
    matured: np.ndarray | None,
) -> DeepResponse:
    # With shares of what is known, no click is too young to teach.
    read = rows if matured is None else replace(rows, mature=np.ones(len(rows), dtype=bool))
    folds = Folds.of(read, config.line.later_share)
    line = _line(rows, folds, config, chance, matured)
    figures = rows.counts() | {"later_rows": int(folds.click_later.sum())}
    taken, kept = thinned(rows.clicked, config.line_negatives_per_click, chance)
    # Of the early rows without a click, the thinned ones; of the later ones all, which judge.
    thin = np.zeros(len(rows), dtype=bool)
    thin[taken] = True
    some = np.flatnonzero(thin | folds.click_later)
    rows, side, folds, thin = rows.select(some), side.select(some), folds.select(some), thin[some]
    matured = None if matured is None else matured[some]
    names = (*side.ads.names, *side.requests.names)
    values = np.concatenate([side.ads.of(rows.ad)[0], side.requests.codes[side.request]], 1)
    codes = Codes.learn(names, values[folds.click_early], config.code_rows_least, config.codes_most)
    bare = DeepResponse(
        line=line,
        network=None,
        gates=(0.0, 0.0),
        codes=codes,
        ads=side.ads,
        request_names=side.requests.names,
        history_length=side.requests.history.shape[1],
        click=calibrate_groups(np.zeros(0), np.zeros(0), (np.zeros(0),), 0, ("slot",)),
        conversion=line.conversion.calibration,
        doubt=Doubt(np.zeros((0, 0), np.float32), np.zeros(1, np.float32)),
        examination=line.examination,
    )
    base = bare.logits(rows, side)
    base[:, 0] += line.click.line.slots[np.minimum(rows.slot, len(line.click.line.slots) - 1)]
    network, gates, done = _network(rows, folds, side, bare, base, kept, config, chance, progress, matured)
    seen = replace(bare, network=network, gates=gates)
    early = base if network is None else _with_slots(seen.logits(rows, side), line, rows.slot)
    known = None if matured is None else matured[thin]
    again = relearnt(line, rows.select(thin), folds.select(thin), kept, (early - base)[thin], config.line, known)
    seen = replace(seen, line=again)
    logits = early - base + _with_slots(replace(bare, line=again).logits(rows, side), again, rows.slot)
    stands = np.where(rows.clicked | folds.click_later, 1.0, 1 / kept)
    doubted = replace(seen, doubt=_doubt(rows, folds, seen, side, stands * _variance(logits[:, 0]), config, chance))
    figures |= {} if done is None else {"epochs": len(done.curve), "steps": done.steps}
    return _calibrated(doubted, rows, folds, side, early, logits, stands, figures, matured)


def _line(rows: Rows, folds: Folds, config: DeepConfig, chance: Chance, matured: np.ndarray | None) -> Response:
    """The line of the early rows."""
    early = folds.click_early if folds.click_early.any() else np.ones(len(rows), dtype=bool)
    told = replace(
        config.line,
        later_share=_LINE_LATER,
        clicks_least=_NO_NETWORK,
        negatives_per_click_line=config.line_negatives_per_click,
    )
    known = None if matured is None else matured[early]
    return fit_response(rows.select(early), told, chance, matured=known)


def _network(
    rows: Rows,
    folds: Folds,
    side: Side,
    bare: DeepResponse,
    base: np.ndarray,
    kept: float,
    config: DeepConfig,
    chance: Chance,
    progress: Progress | None,
    matured: np.ndarray | None,
) -> tuple[dict[str, np.ndarray] | None, tuple[float, float], FitReport | None]:
    """(weights, gates, report) of the network on top of `base`; (None, no gates, None) where events are too few."""
    clicks, buys = int(rows.clicked[folds.click_early].sum()), int(rows.converted[folds.buy_early].sum())
    if clicks < config.line.clicks_least or not rows.clicked[folds.click_later].any():
        return None, (0.0, 0.0), None
    columns = bare.line.scaling.columns(rows.fields)
    enough = buys >= config.line.conversions_least
    batches = _Batches(rows, folds, side, bare, columns, base, kept, config, enough, matured)
    size = DeepSize(
        columns=columns.shape[1],
        codes=sum(bare.codes.sizes),
        categories=len(bare.codes.sizes),
        things=1 + int(max(side.requests.history.max(initial=0), side.ads.target.max(initial=0))),
        interest=side.requests.interest.shape[1],
    )
    seed = chance.number("deep network") % 2**63
    network = DeepNetwork(size, config.width, config.rank, config.hidden, torch.Generator().manual_seed(seed))
    done = fit(
        network,
        batches=batches,
        loss=batches.loss,
        validate=batches.later_loss,
        config=config.fit,
        chance=chance.child("deep network"),
        progress=progress,
    )
    weights = network.arrays()
    added = replace(bare, network=weights, gates=(1.0, 1.0)).logits(rows, side) - bare.logits(rows, side)
    click_gate, buy_gate = gate(base[:, 0], added[:, 0], rows.clicked, folds.click_later), 0.0
    if enough:
        buy_gate = gate(base[:, 1], added[:, 1], rows.converted, folds.buy_later, matured)
    return (weights if click_gate or buy_gate else None), (click_gate, buy_gate), done


class _Batches(Thinned):
    """The network's rows: columns, categories, and who asks."""

    def __init__(
        self,
        rows: Rows,
        folds: Folds,
        side: Side,
        bare: DeepResponse,
        columns: np.ndarray,
        base: np.ndarray,
        kept: float,
        config: DeepConfig,
        buys: bool,
        matured: np.ndarray | None,
    ) -> None:
        super().__init__(
            rows,
            folds,
            base,
            kept,
            batch=config.batch,
            negatives_per_click=config.negatives_per_click,
            buys=buys,
            matured=matured,
        )
        codes, target = coded(bare.codes, side.ads, rows.ad, side.requests.codes[side.request], 1)
        starts = np.cumsum([0, *bare.codes.sizes[:-1]]) if bare.codes.sizes else np.zeros(0)
        self.shared = torch.from_numpy(starts.astype(np.int32))
        self.columns, self.codes, self.target = map(torch.from_numpy, (columns, codes, target))
        self.request = torch.from_numpy(side.request.astype(np.int64))
        self.history, self.ages = map(torch.from_numpy, (side.requests.history, side.requests.ages))
        # One row of zeros at the end: the vector of a shopper nobody knows.
        vectors = np.concatenate([side.requests.interest, np.zeros((1, side.requests.interest.shape[1]), np.float32)])
        self.vectors, shopper = torch.from_numpy(vectors.astype(np.float32)), side.requests.shopper
        self.shopper = torch.from_numpy(np.where(shopper < 0, len(vectors) - 1, shopper).astype(np.int64))
        self.unseen = config.unseen_share

    def logits(self, network: torch.nn.Module, chosen: torch.Tensor, *, learning: bool = False) -> torch.Tensor:
        """See `Thinned`; while learning, some categories are hidden."""
        request, codes = self.request[chosen], self.codes[chosen]
        if learning and self.unseen and codes.numel():
            codes = torch.where(torch.rand(codes.shape) < self.unseen, self.shared, codes)
        vectors = self.vectors[self.shopper[request]]
        history, ages = self.history[request], self.ages[request]
        added = network(self.columns[chosen], codes, self.target[chosen], history, ages, vectors)
        return torch.as_tensor(self.base[chosen] + added)

    def later_loss(self, network: torch.nn.Module) -> float:
        """The loss of clicks on the later fold, which decides when to stop."""
        bce, total = torch.nn.functional.binary_cross_entropy_with_logits, 0.0
        for part in torch.split(self.later, 4_096):
            total += float(bce(self.logits(network, part)[:, 0], self.clicked[part], reduction="sum"))
        return total / len(self.later)


def _with_slots(logits: np.ndarray, line: Response, slot: np.ndarray) -> np.ndarray:
    slots = line.click.line.slots
    return logits + np.stack([slots[np.minimum(slot, len(slots) - 1)], np.zeros(len(slot))], 1)


def _variance(logits: np.ndarray) -> np.ndarray:
    p = expit(logits)
    return np.asarray(p * (1 - p))


def _doubt(
    rows: Rows,
    folds: Folds,
    seen: DeepResponse,
    side: Side,
    information: np.ndarray,
    config: DeepConfig,
    chance: Chance,
) -> Doubt:
    """From at most _DOUBT_ROWS early rows, each standing for as many as were there. information: float64 [R]."""
    early = np.flatnonzero(folds.click_early)
    some = early
    if len(early) > _DOUBT_ROWS:
        some = np.sort(chance.stream("deep doubt").choice(early, _DOUBT_ROWS, replace=False))
    columns = seen.line.scaling.columns(rows.fields[some])
    hidden = np.zeros((len(some), 0), dtype=np.float32)
    if seen.network is not None:
        hidden = seen.hidden(rows.select(some), side.select(some))
    told = information[some] * (len(early) / max(len(some), 1))
    line, terms = seen.line.click.line, seen.line.terms
    return Doubt.of(terms(columns), hidden, rows.ad[some], told, line, terms.groups, config.weight_sd)


def _calibrated(
    seen: DeepResponse,
    rows: Rows,
    folds: Folds,
    side: Side,
    early_logits: np.ndarray,
    logits: np.ndarray,
    stands: np.ndarray,
    figures: dict[str, int],
    matured: np.ndarray | None,
) -> DeepResponse:
    """With calibration by slot (and channel), and examination: clicks of a slot's rows there over in the first.

    early_logits, logits: float64 [R, 2], of what early rows taught, and of what all rows did. stands: float64 [R],
    how many rows of the log each stands for.
    """
    by_channel = side.requests.channel is not None
    names, groups = (("channel", "slot") if by_channel else ("slot",)), groups_of(side, rows.slot, by_channel)
    late, early = folds.click_later, folds.click_early
    base = settled(early_logits[late, 0], logits[late, 0], rows.clicked[late], int(rows.clicked[early].sum()))
    click = calibrate_groups(logits[late, 0], rows.clicked[late], tuple(g[late] for g in groups), 0, names, base)
    late, early = folds.buy_later, folds.buy_early
    known = None if matured is None else matured[late]
    taught = int(rows.converted[early].sum())
    buy = settled(early_logits[late, 1], logits[late, 1], rows.converted[late], taught, known)
    slots = seen.line.click.line.slots
    first = logits[:, 0] - slots[np.minimum(rows.slot, len(slots) - 1)]
    there = stands * expit(click(logits[:, 0], groups))
    alone = stands * expit(click(first, (*groups[:-1], np.zeros(len(rows), dtype=np.int64))))
    count = int(rows.slot.max(initial=0)) + 1
    return replace(
        seen, click=click, conversion=buy, examination=examined(rows.slot, there, alone, count), figures=figures
    )
