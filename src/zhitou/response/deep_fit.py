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
from zhitou.response.calibrate import calibrate
from zhitou.response.deep import DeepResponse, coded, groups_of
from zhitou.response.deep_config import DeepConfig
from zhitou.response.deep_doubt import Doubt
from zhitou.response.deep_inputs import Codes, Side
from zhitou.response.deep_module import DeepNetwork, DeepSize
from zhitou.response.folds import Folds, examined
from zhitou.response.groups import calibrate_groups
from zhitou.response.model import joint_loss
from zhitou.response.response import Response
from zhitou.response.rows import Rows
from zhitou.response.train import fit_response, gate, one_core

_NO_NETWORK = 2**62  # clicks that the line's own network would need
_LINE_LATER = 0.02  # of the rows that teach the line, to keep: it is calibrated here, on later ones
_LINE_ROWS_LEAST = 50_000  # unclicked rows kept for the line at least
_DOUBT_ROWS = 100_000


def fit_deep(
    rows: Rows,
    config: DeepConfig | None = None,
    chance: Chance | None = None,
    side: Side | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> DeepResponse:
    """The deep model for these rows, saved to `folder` if one is given. Same rows, config and seed: the same bytes.

    side: what is known beside the fields; without it, the ad's number alone. Below the line's `clicks_least` clicks,
    or where later rows bear no network out, it is the line. Refused (ConfigError): no rows, a side of other rows.
    """
    config, chance, side = config or DeepConfig(), chance or Chance(0), side or Side.nothing(rows.ad)
    if not len(rows):
        raise ConfigError("a response model needs rows; use baselines.fit_constant until something was shown")
    if len(side.request) != len(rows):
        raise ConfigError(f"expected a side of {len(rows):,} rows, got {len(side.request):,}; use the same log")
    with one_core():
        response = _fit(rows, config, chance, side, progress)
    if folder is not None:
        response.save(folder)
    return response


def _fit(rows: Rows, config: DeepConfig, chance: Chance, side: Side, progress: Progress | None) -> DeepResponse:
    folds = Folds.of(rows, config.line.later_share)
    line = _line(rows, folds, config, chance)
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
    network, gates, done = _network(rows, folds, side, bare, base, config, chance, progress)
    seen = replace(bare, network=network, gates=gates)
    logits = base if network is None else _with_slots(seen.logits(rows, side), line, rows.slot)
    doubted = replace(seen, doubt=_doubt(rows, folds, seen, side, expit(logits[:, 0]), config, chance))
    figures = _figures(rows, folds, done)
    return _calibrated(doubted, rows, folds, side, logits, figures)


def _line(rows: Rows, folds: Folds, config: DeepConfig, chance: Chance) -> Response:
    """The line of the early rows, thinned and put back: its intercept is that of all rows."""
    early = np.flatnonzero(folds.click_early) if folds.click_early.any() else np.arange(len(rows))
    clicked = rows.clicked[early]
    no = early[~clicked]
    drawn = min(len(no), max(config.line_negatives_per_click * int(clicked.sum()), _LINE_ROWS_LEAST))
    kept = drawn / len(no) if len(no) else 1.0
    if drawn < len(no):
        no = chance.stream("deep line").choice(no, drawn, replace=False)
    taught = rows.select(np.sort(np.concatenate([early[clicked], no])))
    expected = config.line.expected_ctr
    odds = expected / (1 - expected) / kept
    told = replace(config.line, later_share=_LINE_LATER, clicks_least=_NO_NETWORK, expected_ctr=odds / (1 + odds))
    line = fit_response(taught, told, chance)
    back = replace(line.click.line, intercept=line.click.line.intercept + float(np.log(kept)))
    return replace(line, click=replace(line.click, line=back))


def _network(
    rows: Rows,
    folds: Folds,
    side: Side,
    bare: DeepResponse,
    base: np.ndarray,
    config: DeepConfig,
    chance: Chance,
    progress: Progress | None,
) -> tuple[dict[str, np.ndarray] | None, tuple[float, float], FitReport | None]:
    """(weights, gates, report) of the network on top of `base`; (None, no gates, None) where events are too few."""
    clicks, buys = int(rows.clicked[folds.click_early].sum()), int(rows.converted[folds.buy_early].sum())
    if clicks < config.line.clicks_least or not rows.clicked[folds.click_later].any():
        return None, (0.0, 0.0), None
    columns = bare.line.scaling.columns(rows.fields)
    batches = _Batches(rows, folds, side, bare, columns, base, config, buys >= config.line.conversions_least)
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
    if buys >= config.line.conversions_least:
        buy_gate = gate(base[:, 1], added[:, 1], rows.converted, folds.buy_later)
    return (weights if click_gate or buy_gate else None), (click_gate, buy_gate), done


class _Batches:
    """Rows as tensors; an epoch takes each early click and a fresh draw of the rows without one."""

    def __init__(
        self,
        rows: Rows,
        folds: Folds,
        side: Side,
        bare: DeepResponse,
        columns: np.ndarray,
        base: np.ndarray,
        config: DeepConfig,
        buys: bool,
    ) -> None:
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
        self.base = torch.from_numpy(base.astype(np.float32))
        self.clicked = torch.from_numpy(rows.clicked.astype(np.float32))
        self.converted = torch.from_numpy(rows.converted.astype(np.float32))
        self.taught = torch.from_numpy((folds.buy_early & buys).astype(np.float32))
        self.later = torch.from_numpy(np.flatnonzero(folds.click_later))
        self.yes = np.flatnonzero(folds.click_early & rows.clicked)
        self.no = np.flatnonzero(folds.click_early & ~rows.clicked)
        self.drawn = min(len(self.no), config.negatives_per_click * len(self.yes))
        # Thinning the "no" multiplies the odds by its inverse: added while training, the network never learns it.
        self.offset = torch.tensor([-np.log(self.drawn / len(self.no)) if len(self.no) else 0.0, 0.0]).float()
        self.size, self.unseen = config.batch, config.unseen_share

    def __call__(self, epoch: int, rng: np.random.Generator) -> list[torch.Tensor]:
        order = np.concatenate([self.yes, rng.choice(self.no, self.drawn, replace=False)])
        chosen = torch.from_numpy(rng.permutation(order))
        return list(torch.tensor_split(chosen, max(1, round(len(order) / self.size))))

    def logits(self, network: torch.nn.Module, chosen: torch.Tensor, unseen: float = 0.0) -> torch.Tensor:
        """float32 [B, 2]: the line's and the network's logits of these rows, of all rows' odds."""
        request, codes = self.request[chosen], self.codes[chosen]
        if unseen and codes.numel():
            codes = torch.where(torch.rand(codes.shape) < unseen, self.shared, codes)
        vectors = self.vectors[self.shopper[request]]
        history, ages = self.history[request], self.ages[request]
        added = network(self.columns[chosen], codes, self.target[chosen], history, ages, vectors)
        return torch.as_tensor(self.base[chosen] + added)

    def loss(self, network: torch.nn.Module, chosen: torch.Tensor) -> torch.Tensor:
        """The joint loss of these rows (ESMM's space of all impressions; see `model.joint_loss`)."""
        logits = self.logits(network, chosen, self.unseen) + self.offset
        return joint_loss(logits, self.clicked[chosen], self.converted[chosen], self.taught[chosen])

    def later_loss(self, network: torch.nn.Module) -> float:
        """The loss of clicks on the later fold, which decides when to stop."""
        bce, total = torch.nn.functional.binary_cross_entropy_with_logits, 0.0
        for part in torch.split(self.later, 4_096):
            total += float(bce(self.logits(network, part)[:, 0], self.clicked[part], reduction="sum"))
        return total / len(self.later)


def _with_slots(logits: np.ndarray, line: Response, slot: np.ndarray) -> np.ndarray:
    slots = line.click.line.slots
    return logits + np.stack([slots[np.minimum(slot, len(slots) - 1)], np.zeros(len(slot))], 1)


def _doubt(
    rows: Rows, folds: Folds, seen: DeepResponse, side: Side, p: np.ndarray, config: DeepConfig, chance: Chance
) -> Doubt:
    """From at most _DOUBT_ROWS early rows, each standing for as many as were there."""
    early = np.flatnonzero(folds.click_early)
    some = early
    if len(early) > _DOUBT_ROWS:
        some = np.sort(chance.stream("deep doubt").choice(early, _DOUBT_ROWS, replace=False))
    columns = seen.line.scaling.columns(rows.fields[some])
    hidden = np.zeros((len(some), 0), dtype=np.float32)
    if seen.network is not None:
        hidden = seen.hidden(rows.select(some), side.select(some))
    information = p[some] * (1 - p[some]) * (len(early) / max(len(some), 1))
    return Doubt.of(columns, hidden, rows.ad[some], information, seen.line.click.line.ads, config.weight_sd)


def _calibrated(
    seen: DeepResponse, rows: Rows, folds: Folds, side: Side, logits: np.ndarray, figures: dict[str, int]
) -> DeepResponse:
    """With calibration by slot (and channel), and examination: clicks of a slot's rows there over in the first."""
    by_channel = side.requests.channel is not None
    names, groups = (("channel", "slot") if by_channel else ("slot",)), groups_of(side, rows.slot, by_channel)
    late, early = folds.click_later, folds.click_early
    taught = int(rows.clicked[early].sum())
    click = calibrate_groups(logits[late, 0], rows.clicked[late], tuple(g[late] for g in groups), taught, names)
    late, early = folds.buy_later, folds.buy_early
    buy = calibrate(logits[late, 1], rows.converted[late], int(rows.converted[early].sum()))
    slots = seen.line.click.line.slots
    first = logits[:, 0] - slots[np.minimum(rows.slot, len(slots) - 1)]
    there = expit(click(logits[:, 0], groups))
    alone = expit(click(first, (*groups[:-1], np.zeros(len(rows), dtype=np.int64))))
    count = int(rows.slot.max(initial=0)) + 1
    return replace(
        seen, click=click, conversion=buy, examination=examined(rows.slot, there, alone, count), figures=figures
    )


def _figures(rows: Rows, folds: Folds, done: FitReport | None) -> dict[str, int]:
    """What the fit saw, for the manifest."""
    figures = rows.counts() | {"later_rows": int(folds.click_later.sum())}
    return figures | ({} if done is None else {"epochs": len(done.curve), "steps": done.steps})
