"""Learning pCVR from clicks whose conversions may still come. R = rows, B = rows of a batch, P = terms.

A click of which F (`matured`, from `delay.fit_delay`) is known shows a conversion by now with probability p · F. Rows
without one therefore count as "no" only as far as F says; today's mature rows have F = 1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.special import expit
from torch import Tensor
from torch.nn.functional import logsigmoid

from zhitou.core.errors import ConfigError
from zhitou.response.linear import Linear, ad_terms
from zhitou.response.rows import Rows

_ROUNDS = 30
_CLOSE = 1e-3  # of what a click without a conversion is still thought to owe, on average and relative
_LEFT = 1e-9  # 1 - p · F may not reach 0 in float32


def refuse_wrong_matured(matured: np.ndarray, rows: Rows) -> None:
    """Refused (ConfigError): another length than the rows', a value outside [0, 1], NaN at a click."""
    if np.shape(matured) != (len(rows),):
        raise ConfigError(f"expected one matured share per row, [{len(rows):,}], got shape {np.shape(matured)}")
    at = np.asarray(matured)[rows.clicked]
    if bad := int((~((at >= 0) & (at <= 1))).sum()):
        raise ConfigError(f"expected matured shares in [0, 1], got {bad:,} outside; take them from Delay.matured")


def late_line(
    fit: Callable[[np.ndarray], Linear],
    x: np.ndarray,
    ad: np.ndarray,
    labels: np.ndarray,
    matured: np.ndarray,
    offset: np.ndarray | float = 0.0,
) -> Linear:
    """The line of late labels, by expectation and maximisation (Dempster, Laird, Rubin).

    fit: the line of labels float64 [R], which may lie between 0 and 1, for terms x [R, P] and ads [R]. labels: bool
    [R], a conversion is known; matured: float64 [R]; offset: float [R], logits that `fit` adds to the
    line's. A row without one is thought to owe p · (1 - F) / (1 - p · F).
    """
    seen = labels.astype(np.float64)
    rate = float(np.clip(seen.sum() / max(matured.sum(), 1.0), 0.0, 0.5))
    guess = np.full(len(seen), rate)
    owed, line = -1.0, None
    for _ in range(_ROUNDS):
        soft = np.where(labels, 1.0, guess * (1 - matured) / np.maximum(1 - guess * matured, _LEFT))
        line = fit(soft)
        guess = expit(x @ line.weights + line.intercept + ad_terms(line.ads, ad) + offset)
        before, owed = owed, float(soft.sum() - seen.sum())
        if abs(owed - before) <= _CLOSE * (owed + seen.sum() * _CLOSE):
            break
    assert line is not None, "there is at least one round"
    return line


def late_joint_loss(logits: Tensor, clicked: Tensor, converted: Tensor, taught: Tensor, matured: Tensor) -> Tensor:
    """`model.joint_loss` where a click of age e shows a conversion with probability r · F(e). Mean over B rows.

    taught: float [B], 0 where conversions are not learnt from; matured: float [B], F. log(r · F) differs from log r
    by what no weight changes, and is left out, so that F = 1 everywhere gives `joint_loss`.
    """
    click, conversion = logits.unbind(-1)
    no_or_click = torch.nn.functional.binary_cross_entropy_with_logits(click, clicked, reduction="none")
    none_yet = torch.log((1 - torch.sigmoid(conversion) * matured).clamp_min(_LEFT))
    # As F nears 1 the difference 1 - r · F is lost in float32 where r is near 1; there its own formula is exact.
    none_yet = torch.where(matured < 1, none_yet, logsigmoid(-conversion))
    bought_or_not = -(converted * logsigmoid(conversion) + (1 - converted) * none_yet)
    return (no_or_click + bought_or_not * clicked * taught).mean()
