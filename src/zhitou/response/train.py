"""From logged rows to a Response: a line, a network on top of it where clicks suffice, calibration on later rows.

R = rows, G = columns, P = 2 G.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
from zhitou.response.batches import Thinned
from zhitou.response.calibrate import Calibration, settled
from zhitou.response.config import ResponseConfig
from zhitou.response.fields import Scaling
from zhitou.response.folds import Folds, examined
from zhitou.response.late import late_line, refuse_wrong_matured
from zhitou.response.linear import Linear, Terms, ad_terms, fit_linear, telling_pairs
from zhitou.response.model import Network
from zhitou.response.response import CHUNK, Head, Response, network_logits
from zhitou.response.rows import Rows

_GATES = (0.0, 0.25, 0.5, 0.75, 1.0)
_ROWS_LEAST = 50_000  # rows without a click that are always read
_MEASURED = 100_000  # rows that means and deviations are measured on


def fit_response(
    rows: Rows,
    config: ResponseConfig | None = None,
    chance: Chance | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
    matured: np.ndarray | None = None,
) -> Response:
    """The model for these rows, saved to `folder` if one is given. Same rows, config and seed: the same bytes.

    Chosen and bent into shape by the later `later_share` of rows that earlier ones foretell, then learnt anew from
    all of them, whose level it keeps unless the later ones contradict it; conversions likewise among mature clicks.
    With `matured`, float64 [R], conversions are learnt from all clicks, young ones by the
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
    all_folds, slots = Folds.of(read, config.later_share), int(rows.slot.max()) + 1
    taken, kept = thinned(rows.clicked, config.negatives_per_click_line, chance)
    log = _Log.of(rows, all_folds, taken, kept, slots, matured)
    later = _Log.of(rows, all_folds, np.flatnonzero(all_folds.click_later), 1.0, slots, matured, log.scaling)
    terms, lines = _fit_lines(log, config)
    network, gates, report = _fit_network(log, later, terms, lines, config, chance, progress)
    early = [part.logits(terms, lines, network, gates) for part in (log, later)]
    final = _lines(log, terms, config, everything=True, start=lines, added=log.added(network, gates))
    now = [part.logits(terms, final, network, gates) for part in (log, later)]
    calibrations = _calibrations(log, later, early, now)
    heads = [Head(*parts) for parts in zip(final, gates, calibrations, strict=True)]
    return Response(
        fields=rows.names,
        scaling=log.scaling,
        terms=terms,
        click=heads[0],
        conversion=heads[1],
        network=network if any(gates) else None,
        examination=_examination(log, final[0].slots, calibrations[0], now[0][:, 0]),
        figures=rows.counts() | _figures(all_folds) | report,
    )


def thinned(clicked: np.ndarray, per_click: int, chance: Chance) -> tuple[np.ndarray, float]:
    """(row numbers, rising: all clicks and `per_click` rows without one to each; the share of those that is kept).

    At least _ROWS_LEAST of them. 40 to a click lose a fortieth of what clicks tell, and most of the work.
    """
    no = np.flatnonzero(~clicked)
    drawn = min(len(no), max(per_click * (len(clicked) - len(no)), _ROWS_LEAST))
    if drawn == len(no):
        return np.arange(len(clicked)), 1.0
    some = chance.stream("response rows").choice(no, drawn, replace=False)
    return np.sort(np.concatenate([np.flatnonzero(clicked), some])), drawn / len(no)


@dataclass(frozen=True)
class _Log:
    """R rows to read, of a log from which a share `kept` of the rows without a click is left; columns: [R, G]."""

    rows: Rows
    folds: Folds
    scaling: Scaling
    columns: np.ndarray
    kept: float
    slots: int
    matured: np.ndarray | None

    @classmethod
    def of(
        cls,
        rows: Rows,
        folds: Folds,
        taken: np.ndarray,
        kept: float,
        slots: int,
        matured: np.ndarray | None,
        scaling: Scaling | None = None,
    ) -> _Log:
        """These rows (int numbers) of a log; the scaling is measured on their early ones unless given."""
        if len(taken) < len(rows):
            rows, folds = rows.select(taken), folds.select(taken)
            matured = None if matured is None else matured[taken]
        if scaling is None:
            early = rows.fields[folds.click_early]
            scaling = Scaling.of(early[:: max(1, len(early) // _MEASURED)])
        return cls(rows, folds, scaling, scaling.columns(rows.fields), kept, slots, matured)

    def __len__(self) -> int:
        return len(self.rows)

    def added(self, network: dict[str, np.ndarray] | None, gates: tuple[float, float]) -> np.ndarray | None:
        """float64 [R, 2]: what as much of the network as is let through adds; None if nothing."""
        if network is None or not any(gates):
            return None
        return network_logits(network, self.columns).astype(np.float64) * np.asarray(gates)

    def logits(
        self,
        terms: Terms,
        lines: tuple[Linear, Linear],
        network: dict[str, np.ndarray] | None = None,
        gates: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:
        """float64 [R, 2]: of each row in its own slot, before calibration."""
        weights = np.stack([line.weights for line in lines], 1).astype(np.float32)
        logits = np.empty((len(self), 2))
        for begin in range(0, len(self), CHUNK):
            part = slice(begin, begin + CHUNK)
            logits[part] = terms(self.columns[part]) @ weights
        logits += [line.intercept for line in lines]
        logits[:, 0] += lines[0].slots[self.rows.slot]
        logits += np.stack([ad_terms(line.ads, self.rows.ad) for line in lines], 1)
        added = self.added(network, gates)
        return logits if added is None else logits + added


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


def _fit_lines(log: _Log, config: ResponseConfig) -> tuple[Terms, tuple[Linear, Linear]]:
    """Terms, and the early rows' lines of click and conversion: once plain, and again if pairs of columns tell."""
    early = log.folds.click_early
    columns, clicked = log.columns[early], log.rows.clicked[early]
    terms = Terms.of(columns)
    lines = _lines(log, terms, config)
    if int(clicked.sum()) < config.pairs_clicks_least:
        return terms, lines
    p = expit(log.logits(terms, lines)[early, 0] - np.log(log.kept))
    pairs = telling_pairs(columns, clicked, p)
    if not len(pairs):
        return terms, lines
    terms = replace(terms, pairs=pairs)
    near = tuple(replace(line, weights=np.append(line.weights, np.zeros(len(pairs)))) for line in lines)
    return terms, _lines(log, terms, config, start=(near[0], near[1]))


def _lines(
    log: _Log,
    terms: Terms,
    config: ResponseConfig,
    *,
    everything: bool = False,
    start: tuple[Linear, Linear] | None = None,
    added: np.ndarray | None = None,
) -> tuple[Linear, Linear]:
    """The lines of clicks and of conversions given a click; a slot moves clicks only.

    everything: of all rows instead of the early ones. added: float64 [R, 2], logits known besides.
    """
    rows, folds = log.rows, log.folds

    def line(o: int, fold: np.ndarray, labels: np.ndarray, x: np.ndarray | None = None) -> Linear:
        return fit_linear(
            terms(log.columns[fold]) if x is None else x,
            labels,
            rows.slot[fold] if o == 0 else np.zeros(int(fold.sum()), dtype=np.int8),
            rows.ad[fold],
            log.slots if o == 0 else 1,
            config.expected_ctr if o == 0 else config.expected_cvr,
            terms.groups,
            offset=None if added is None else added[fold, o],
            kept=log.kept if o == 0 else 1.0,
            start=None if start is None else start[o],
        )

    early, bought = folds.click_early, folds.buy_early
    if everything:
        early, bought = np.ones_like(early), folds.buy_early | folds.buy_later
    click = line(0, early, rows.clicked[early])
    if log.matured is None:
        return click, line(1, bought, rows.converted[bought])
    x = terms(log.columns[bought])

    def soft(labels: np.ndarray) -> Linear:
        return line(1, bought, labels, x)

    return click, late_line(soft, x, rows.ad[bought], rows.converted[bought], log.matured[bought])


def relearnt(
    line: Response,
    rows: Rows,
    folds: Folds,
    kept: float,
    added: np.ndarray,
    config: ResponseConfig,
    matured: np.ndarray | None,
) -> Response:
    """The line of early rows, learnt anew from all of these, of which all clicks and `kept` of the others are there.

    added: float64 [R, 2], logits that something else adds to the line's.
    """
    slots = int(rows.slot.max()) + 1
    log = _Log.of(rows, folds, np.arange(len(rows)), kept, slots, matured, line.scaling)
    start = line.click.line, line.conversion.line
    click, buy = _lines(log, line.terms, config, everything=True, start=start, added=added)
    return replace(line, click=replace(line.click, line=click), conversion=replace(line.conversion, line=buy))


def _fit_network(
    log: _Log,
    later: _Log,
    terms: Terms,
    lines: tuple[Linear, Linear],
    config: ResponseConfig,
    chance: Chance,
    progress: Progress | None,
) -> tuple[dict[str, np.ndarray] | None, tuple[float, float], dict[str, Any]]:
    """(weights, gates, figures) of the network on top of the lines; (None, no gates) where events are too few."""
    rows, folds = log.rows, log.folds
    clicks = int(rows.clicked[folds.click_early].sum())
    buys = int(rows.converted[folds.buy_early].sum())
    if clicks < config.clicks_least or not later.rows.clicked.any():
        return None, (0.0, 0.0), {}
    base = log.logits(terms, lines)
    batches = _Batches(log, base, config, buys >= config.conversions_least)
    seed = chance.number("response network") % 2**63
    network = Network(log.columns.shape[1], config.hidden, torch.Generator().manual_seed(seed))
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
    added, there = network_logits(weights, later.columns), later.logits(terms, lines)
    click_gate, buy_gate = gate(there[:, 0], added[:, 0], later.rows.clicked, later.folds.click_later), 0.0
    if buys >= config.conversions_least:
        added = network_logits(weights, log.columns)
        buy_gate = gate(base[:, 1], added[:, 1], rows.converted, folds.buy_later, log.matured)
    return weights, (click_gate, buy_gate), {"epochs": len(done.curve), "steps": done.steps}


class _Batches(Thinned):
    """The network's rows: columns alone."""

    def __init__(self, log: _Log, base: np.ndarray, config: ResponseConfig, buys: bool) -> None:
        super().__init__(
            log.rows,
            log.folds,
            base,
            log.kept,
            batch=config.batch,
            negatives_per_click=config.negatives_per_click,
            buys=buys,
            matured=log.matured,
        )
        self.columns = torch.from_numpy(log.columns)
        self.stands = torch.where(self.clicked[self.later] > 0, 1.0, 1 / log.kept)

    def logits(self, network: torch.nn.Module, chosen: torch.Tensor, *, learning: bool = False) -> torch.Tensor:
        """See `Thinned`."""
        return torch.as_tensor(self.base[chosen] + network(self.columns[chosen]))

    def later_loss(self, network: torch.nn.Module) -> float:
        """The loss of clicks on the later fold, which decides when to stop."""
        bce = torch.nn.functional.binary_cross_entropy_with_logits
        logits = self.logits(network, self.later)[:, 0]
        return float(bce(logits, self.clicked[self.later], self.stands, reduction="sum") / self.stands.sum())


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
    log: _Log, later: _Log, early: list[np.ndarray], now: list[np.ndarray]
) -> tuple[Calibration, Calibration]:
    """Of clicks and of conversions. early, now: logits of log and later by what early rows taught, and by all."""
    taught = int(log.rows.clicked[log.folds.click_early].sum())
    click = settled(early[1][:, 0], now[1][:, 0], later.rows.clicked, taught)
    late, taught = log.folds.buy_later, int(log.rows.converted[log.folds.buy_early].sum())
    known = None if log.matured is None else log.matured[late]
    return click, settled(early[0][late, 1], now[0][late, 1], log.rows.converted[late], taught, known)


def _examination(log: _Log, terms: np.ndarray, calibration: Calibration, logits: np.ndarray) -> np.ndarray:
    """float64 [S]: `examined` by the calibrated logits, which hold the slots' terms."""
    slot, stands = log.rows.slot, np.where(log.rows.clicked, 1.0, 1 / log.kept)
    there, first = (stands * expit(calibration(z)) for z in (logits, logits - terms[slot]))
    return examined(slot, there, first, len(terms))


def _figures(folds: Folds) -> dict[str, Any]:
    """What the fit saw, for the manifest."""
    return {"later_rows": int(folds.click_later.sum()), "later_mature_clicks": int(folds.buy_later.sum())}
