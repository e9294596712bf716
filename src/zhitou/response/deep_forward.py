"""The deep network in numpy: what serves. The same arithmetic as `deep_module.DeepNetwork.forward`.

B = requests, K = ads of each, G = columns, C = categories, L = length of a history, D = width of an interest vector,
d = width of a table's rows, H = width of the last hidden layer. A log of single rows has K = 1.
"""

from __future__ import annotations

import numpy as np

Weights = dict[str, np.ndarray]
_SCORE_MOST = 8.0


def forward(
    w: Weights,
    columns: np.ndarray,
    codes: np.ndarray,
    target: np.ndarray,
    history: np.ndarray,
    ages: np.ndarray,
    interest: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(logits to add float32 [B, K, 2], last hidden layer float32 [B, K, H]).

    columns: float32 [B, K, G]; codes: int [B, K, C], rows of the table; target: int [B, K]; history, ages:
    int [B, L]; interest: float32 [B, D].
    """
    B, K, G = columns.shape
    q, wish = w["things"][target], interest @ w["interest"]
    attended, mass = _attend(w, q, target, history, ages)
    d, C = q.shape[-1], codes.shape[-1]
    x = np.empty((B, K, len(w["cross_in"])), dtype=np.float32)
    x[..., :G] = columns
    x[..., G : G + C * d] = w["codes"][codes].reshape(B, K, C * d)
    at = G + C * d
    for part in (q, attended, attended * q, wish[:, None, :] * q):
        x[..., at : at + d] = part
        at += d
    x[..., at] = np.log1p(mass)
    crossed = (x @ w["cross_in"]) @ w["cross_back"]
    crossed += w["cross_shift"]
    crossed *= x
    out = crossed @ w["cross_out"]
    crossed += x
    hidden = crossed @ w["first"]
    hidden += w["first_shift"]
    np.maximum(hidden, 0, out=hidden)
    hidden = hidden @ w["second"]
    hidden += w["second_shift"]
    np.maximum(hidden, 0, out=hidden)
    out += hidden @ w["out"]
    out += w["codes_out"][codes].sum(-2)
    return out, hidden


def _attend(
    w: Weights, q: np.ndarray, target: np.ndarray, history: np.ndarray, ages: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(what each ad finds in its request's history float32 [B, K, d], how much of it float32 [B, K])."""
    k = w["things"][history]
    score = q @ k.transpose(0, 2, 1)
    score *= np.float32(q.shape[-1] ** -0.5)
    score += w["age_bias"][ages][:, None, :]
    match = history[:, None, :] == target[..., None]
    match &= (target > 0)[..., None]
    score += w["match_bias"] * match
    weight = np.exp(np.minimum(score, _SCORE_MOST))
    weight *= (history > 0)[:, None, :]
    mass = weight.sum(-1)
    return (weight @ k) / (1 + mass[..., None]), mass
