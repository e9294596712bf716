"""From logged rows to a Response: a line, a network on top of it where clicks suffice, calibration on later rows.

R = rows, G = columns, P = 2 G.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from threadpoolctl import threadpool_limits

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.evaluation.classification import log_losses
from zhitou.learning.fit import fit
from zhitou.learning.progress import Progress
from zhitou.response.calibrate import Calibration, calibrate
from zhitou.response.config import ResponseConfig
from zhitou.response.fields import Scaling
from zhitou.response.folds import Folds, examined
from zhitou.response.late import late_joint_loss, late_line, refuse_wrong_matured
from zhitou.response.linear import Linear, Terms, ad_terms, fit_linear, telling_pairs
from zhitou.response.model import Network, joint_loss
from zhitou.response.response import Head, Response, network_logits
from zhitou.response.rows import Rows

_GATES = (0.0, 0.25, 0.5, 0.75, 1.0)


def fit_response(
    rows: Rows,
    config: ResponseConfig | None = None,
    chance: Chance | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    matured: np.ndarray | None = None,
) -> Response:
    """The model for these rows, saved to `folder` if one is given. Same rows, config and seed: the same bytes.

    Clicks are learnt from the earlier rows and calibrated on the later `later_share` of them; conversions likewise
    among mature clicks. With `matured`, float64 [R], conversions are learnt from all clicks, young ones by the
    likelihood of what can be known of them: the probability, by `delay.Delay.matured` and the age of the row's click,
    that a conversion which will come has come. Then `rows.converted` holds every conversion known by now. Refused
    (ConfigError): no rows at all, shares outside [0, 1].
    """
    config, chance = config or ResponseConfig(), chance or Chance(0)
    if not len(rows):
        raise ConfigError("a response model needs rows; use baselines.Constant until something was shown")
    with one_core():
        if matured is not None:
            refuse_wrong_matured(matured, rows)
            matured = np.asarray(matured, dtype=np.float64)
        response = _fit(rows, config, chance, progress, matured)
    if folder is not None:
        response.save(folder)
    return response


def _fit(
    rows: Rows, config: ResponseConfig, chance: Chance, progress: Progress | None, matured: np.ndarray | None
) -> Response:
    # With shares of what is known, no click is too young to teach.
    read = rows if matured is None else replace(rows, mature=np.ones(len(rows), dtype=bool))
    folds, slots = Folds.of(read, config.later_share), int(rows.slot.max()) + 1
    scaling = Scaling.of(rows.fields[folds.click_early])
    columns = scaling.columns(rows.fields)
    terms, lines, base = _fit_lines(rows, folds, columns, slots, config, matured)
    network, gates, report = _fit_network(rows, folds, columns, base, config, chance, progress, matured)
    logits = base if network is None else base + network_logits(network, columns) * np.asarray(gates)
    calibrations = _calibrations(rows, folds, logits, matured)
    heads = [Head(*parts) for parts in zip(lines, gates, calibrations, strict=True)]
    return Response(
        fields=rows.names,
        scaling=scaling,
        terms=terms,
        click=heads[0],
        conversion=heads[1],
        network=network if any(gates) else None,
        examination=_examination(rows.slot, lines[0].slots, calibrations[0], logits[:, 0]),
        figures=_figures(rows, folds) | report,
    )


@contextmanager
def one_core() -> Iterator[None]:
    """Sums in one order on every machine; matrices this small are slower on two cores than on one besides."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def _fit_lines(
    rows: Rows, folds: Folds, columns: np.ndarray, slots: int, config: ResponseConfig, matured: np.ndarray | None
) -> tuple[Terms, tuple[Linear, Linear], np.ndarray]:
    """(terms, lines of click and conversion, their logits [R, 2]): once plain, and again if pairs of columns tell."""
    early = folds.click_early
    terms = Terms(np.median(columns[early], 0), np.zeros((0, 2), dtype=np.int32))
    lines = _lines(rows, folds, terms, columns, slots, config, matured)
    base = _base_logits(rows, lines, terms(columns))
    if int(rows.clicked[early].sum()) < config.pairs_clicks_least:
        return terms, lines, base
    pairs = telling_pairs(columns[early], rows.clicked[early], expit(base[early, 0]))
    if not len(pairs):
        return terms, lines, base
    terms = replace(terms, pairs=pairs)
    lines = _lines(rows, folds, terms, columns, slots, config, matured)
    return terms, lines, _base_logits(rows, lines, terms(columns))


def _lines(
    rows: Rows,
    folds: Folds,
    terms: Terms,
    columns: np.ndarray,
    slots: int,
    config: ResponseConfig,
    matured: np.ndarray | None,
) -> tuple[Linear, Linear]:
    """The lines of clicks and of conversions given a click; a slot moves clicks only."""

    def line(fold: np.ndarray, labels: np.ndarray, slot: np.ndarray, slots: int, rate: float) -> Linear:
        x = terms(columns[fold])
        return fit_linear(x, labels[fold], slot[fold], rows.ad[fold], slots, rate, terms.groups)

    click = line(folds.click_early, rows.clicked, rows.slot, slots, config.expected_ctr)
    first, fold = np.zeros_like(rows.slot), folds.buy_early
    if matured is None:
        return click, line(fold, rows.converted, first, 1, config.expected_cvr)
    x = terms(columns[fold])

    def soft(labels: np.ndarray) -> Linear:
        return fit_linear(x, labels, first[fold], rows.ad[fold], 1, config.expected_cvr, terms.groups)

    return click, late_line(soft, x, rows.ad[fold], rows.converted[fold], matured[fold])


def _base_logits(rows: Rows, lines: tuple[Linear, Linear], x: np.ndarray) -> np.ndarray:
    """float64 [R, 2]: the lines' logits of each row in its own slot."""
    logits = x @ np.stack([line.weights for line in lines], 1).astype(np.float32)
    logits = logits.astype(np.float64) + [line.intercept for line in lines]
    logits[:, 0] += lines[0].slots[rows.slot]
    return logits + np.stack([ad_terms(line.ads, rows.ad) for line in lines], 1)


def _fit_network(
    rows: Rows,
    folds: Folds,
    columns: np.ndarray,
    base: np.ndarray,
    config: ResponseConfig,
    chance: Chance,
    progress: Progress | None,
    matured: np.ndarray | None,
) -> tuple[dict[str, np.ndarray] | None, tuple[float, float], dict[str, Any]]:
    """(weights, gates, figures) of the network on top of `base`; (None, no gates) where events are too few."""
    clicks = int(rows.clicked[folds.click_early].sum())
    buys = int(rows.converted[folds.buy_early].sum())
    if clicks < config.clicks_least or not rows.clicked[folds.click_later].any():
        return None, (0.0, 0.0), {}
    batches = _Batches(rows, folds, columns, base, config, buys >= config.conversions_least, matured)
    seed = chance.number("response network") % 2**63
    network = Network(columns.shape[1], config.hidden, torch.Generator().manual_seed(seed))
    done = fit(
        network,
        batches=batches,
        loss=batches.loss,
        validate=batches.later_loss,
        config=config.fit,
        chance=chance.child("response network"),
        progress=progress,
    )
    weights = network.arrays()
    added = network_logits(weights, columns)
    click_gate = gate(base[:, 0], added[:, 0], rows.clicked, folds.click_later)
    buy_gate = 0.0
    if buys >= config.conversions_least:
        buy_gate = gate(base[:, 1], added[:, 1], rows.converted, folds.buy_later, matured)
    return weights, (click_gate, buy_gate), {"epochs": len(done.curve), "steps": done.steps}


class _Batches:
    """The network's rows as tensors; an epoch takes each early click and a fresh draw of the rows without one."""

    def __init__(
        self,
        rows: Rows,
        folds: Folds,
        columns: np.ndarray,
        base: np.ndarray,
        config: ResponseConfig,
        buys: bool,
        matured: np.ndarray | None,
    ) -> None:
        # A row without a click has no age and no say in conversions; its share is never read.
        self.matured = None if matured is None else torch.from_numpy(np.nan_to_num(matured, nan=1.0)).float()
        self.columns = torch.from_numpy(columns)
        self.base = torch.from_numpy(base.astype(np.float32))
        self.clicked = torch.from_numpy(rows.clicked.astype(np.float32))
        self.converted = torch.from_numpy(rows.converted.astype(np.float32))
        self.taught = torch.from_numpy((folds.buy_early & buys).astype(np.float32))
        self.later = torch.from_numpy(np.flatnonzero(folds.click_later))
        self.yes = np.flatnonzero(folds.click_early & rows.clicked)
        self.no = np.flatnonzero(folds.click_early & ~rows.clicked)
        self.drawn = min(len(self.no), config.negatives_per_click * len(self.yes))
        # Dropping a share of the "no" multiplies the odds of a click by its inverse: added while training, it is
        # not part of what the network learns, and nothing is left to undo when it serves.
        self.offset = torch.tensor([-np.log(self.drawn / len(self.no)) if len(self.no) else 0.0, 0.0]).float()
        self.size = config.batch

    def __call__(self, epoch: int, rng: np.random.Generator) -> _Epoch:
        order = np.concatenate([self.yes, rng.choice(self.no, self.drawn, replace=False)])
        return _Epoch(torch.from_numpy(rng.permutation(order)), self.size)

    def loss(self, network: torch.nn.Module, chosen: torch.Tensor) -> torch.Tensor:
        """The joint loss of these rows."""
        logits = self.base[chosen] + network(self.columns[chosen]) + self.offset
        outcomes = self.clicked[chosen], self.converted[chosen], self.taught[chosen]
        if self.matured is None:
            return joint_loss(logits, *outcomes)
        return late_joint_loss(logits, *outcomes, self.matured[chosen])

    def later_loss(self, network: torch.nn.Module) -> float:
        """The loss of clicks on the later fold, which decides when to stop."""
        logits = self.base[self.later, 0] + network(self.columns[self.later])[:, 0]
        return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, self.clicked[self.later]))


class _Epoch:
    """Row numbers in batches of about `size`, none of them tiny."""

    def __init__(self, order: torch.Tensor, size: int) -> None:
        self._parts = torch.tensor_split(order, max(1, round(len(order) / size)))

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(self._parts)


def gate(
    base: np.ndarray, added: np.ndarray, labels: np.ndarray, later: np.ndarray, matured: np.ndarray | None = None
) -> float:
    """The share of the network's logits under which the later rows are the most probable; 0 leaves the line alone.

    A gate above 0 has to make them e times more probable: the network was stopped on these same rows, and a tie
    goes to the fewer numbers.
    """
    known = 1.0 if matured is None else matured[later]
    losses = [log_losses(labels[later], known * expit(base[later] + gate * added[later])).sum() for gate in _GATES]
    return _GATES[int(np.argmin(np.asarray(losses) + (np.asarray(_GATES) > 0)))]


def _calibrations(
    rows: Rows, folds: Folds, logits: np.ndarray, matured: np.ndarray | None
) -> tuple[Calibration, Calibration]:
    """Of clicks and of conversions, each on its own later fold."""
    z, early, late = logits[:, 0], folds.click_early, folds.click_later
    click = calibrate(z[late], rows.clicked[late], int(rows.clicked[early].sum()))
    z, early, late = logits[:, 1], folds.buy_early, folds.buy_later
    known = None if matured is None else matured[late]
    return click, calibrate(z[late], rows.converted[late], int(rows.converted[early].sum()), known)


def _examination(slot: np.ndarray, terms: np.ndarray, calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    """float64 [S]: `examined` by the calibrated logits, which hold the slots' terms."""
    return examined(slot, expit(calibration(logits)), expit(calibration(logits - terms[slot])), len(terms))


def _figures(rows: Rows, folds: Folds) -> dict[str, Any]:
    """What the fit saw, for the manifest."""
    later = {"later_rows": int(folds.click_later.sum()), "later_mature_clicks": int(folds.buy_later.sum())}
    return rows.counts() | later
