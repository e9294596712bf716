"""A model taken further on fresh rows alone: every prior is centred on the model before. R = rows, P = terms.

What the fresh rows say is learnt, what they are silent about stays as it was. So a model can be refreshed every few
minutes although the rows it was first trained on are no longer at hand.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import expit
from threadpoolctl import threadpool_limits

from zhitou.core.errors import ConfigError, SchemaError
from zhitou.response.calibrate import Calibration, calibrate
from zhitou.response.config import ResponseConfig
from zhitou.response.folds import Folds, examined
from zhitou.response.late import late_line, refuse_wrong_matured
from zhitou.response.linear import Linear, ad_terms, fit_linear
from zhitou.response.response import Head, Response, network_logits
from zhitou.response.rows import Rows


def refresh_response(
    rows: Rows,
    champion: Response,
    config: ResponseConfig | None = None,
    folder: Path | None = None,
    matured: np.ndarray | None = None,
) -> Response:
    """The champion, refreshed on these rows; saved to `folder` if one is given. The same rows: the same bytes.

    Kept as they are: scaling, terms, the network and its gates. Learnt: the lines' weights, slots and ads around the
    champion's, and the calibration on the later rows. rows: none of those the champion was trained on, or they count
    twice. matured: as for `train.fit_response`; without it conversions are learnt from mature clicks alone. Refused:
    no rows, wrong shares (ConfigError), other fields (SchemaError).
    """
    config = config or ResponseConfig()
    if not len(rows):
        raise ConfigError("a refresh needs rows; keep the champion until something was shown")
    if rows.names != champion.fields:
        raise SchemaError(f"expected the champion's fields {champion.fields}, got {rows.names}; train a new model")
    with threadpool_limits(1):  # sums in one order on every machine
        if matured is not None:
            refuse_wrong_matured(matured, rows)
        response = _refresh(rows, champion, config, matured)
    if folder is not None:
        response.save(folder)
    return response


def _refresh(rows: Rows, champion: Response, config: ResponseConfig, matured: np.ndarray | None) -> Response:
    read = rows if matured is None else replace(rows, mature=np.ones(len(rows), dtype=bool))
    folds = Folds.of(read, config.later_share)
    slots = max(int(rows.slot.max()) + 1, len(champion.examination))
    columns = champion.scaling.columns(rows.fields)
    terms = champion.terms(columns)
    heads = (champion.click, champion.conversion)
    network, added = _network(champion, columns)
    early = (folds.click_early, folds.buy_early)
    labels, known = (rows.clicked, rows.converted), (None, matured)
    rates = (config.expected_ctr, config.expected_cvr)
    lines, logits = [], np.empty((len(rows), 2))
    for o, head in enumerate(heads):
        slot, count = (rows.slot, slots) if o == 0 else (np.zeros_like(rows.slot), 1)
        line = _line(
            champion, head, terms, labels[o], slot, rows.ad, early[o], count, rates[o], added[:, o], known[o]
        )
        lines.append(line)
        logits[:, o] = terms @ line.weights.astype(np.float32) + line.intercept + line.slots[slot] + added[:, o]
        logits[:, o] += ad_terms(line.ads, rows.ad)
    late = (folds.click_later, folds.buy_later)
    shares = [None if m is None else m[fold] for m, fold in zip(known, late, strict=True)]
    fitted = [
        calibrate(logits[late[o], o], labels[o][late[o]], int(labels[o][early[o]].sum()), shares[o]) for o in (0, 1)
    ]
    made = [Head(line, head.gate, c) for line, head, c in zip(lines, heads, fitted, strict=True)]
    there, first = (expit(fitted[0](z)) for z in (logits[:, 0], logits[:, 0] - lines[0].slots[rows.slot]))
    examination = examined(rows.slot, there, first, slots)
    unseen = np.bincount(rows.slot, minlength=slots)[: len(champion.examination)] == 0
    examination[: len(champion.examination)][unseen] = champion.examination[unseen]
    return Response(
        fields=rows.names,
        scaling=champion.scaling,
        terms=champion.terms,
        click=made[0],
        conversion=made[1],
        network=network,
        examination=examination,
        figures={"refreshed_from": champion.version, **rows.counts()},
    )


def _line(
    champion: Response,
    head: Head,
    terms: np.ndarray,
    labels: np.ndarray,
    slot: np.ndarray,
    ad: np.ndarray,
    fold: np.ndarray,
    slots: int,
    rate: float,
    added: np.ndarray,
    matured: np.ndarray | None,
) -> Linear:
    """One outcome's line of the rows of `fold`, its priors centred on the head's."""
    x, prior = terms[fold], straightened(head)

    def fit(y: np.ndarray) -> Linear:
        groups = champion.terms.groups
        return fit_linear(x, y, slot[fold], ad[fold], slots, rate, groups, prior=prior, offset=added[fold])

    if matured is None:
        return fit(labels[fold])
    return late_line(fit, x, ad[fold], labels[fold], matured[fold], added[fold])


def straightened(head: Head) -> Linear:
    """The head's line with its calibration folded in: exactly if that is straight, else as it is for rare events.

    Beta calibration is shift + low · log p - high · log(1 - p), and the last term is nothing for small p; through
    isotonic knots the straight line of least squares is laid.
    """
    shift, slope = _straight(head.calibration)
    line = head.line
    return Linear(shift + slope * line.intercept, slope * line.weights, slope * line.slots, slope * line.ads)


def _straight(calibration: Calibration) -> tuple[float, float]:
    """(shift, slope)."""
    if calibration.knots is None:
        return calibration.shift, calibration.low
    slope, shift = np.polyfit(calibration.knots[0], calibration.knots[1], 1)
    return float(shift), float(slope)


def _network(champion: Response, columns: np.ndarray) -> tuple[dict[str, np.ndarray] | None, np.ndarray]:
    """(the network with each head's calibration folded in, float64 [R, 2]: what it adds, gates included)."""
    if champion.network is None:
        return None, np.zeros((len(columns), 2))
    heads = (champion.click, champion.conversion)
    slopes = np.asarray([_straight(head.calibration)[1] for head in heads], dtype=np.float32)
    network = champion.network | {name: champion.network[name] * slopes for name in ("cross_out", "out")}
    gates = np.asarray([head.gate for head in heads])
    return network, network_logits(network, columns).astype(np.float64) * gates
