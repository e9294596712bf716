"""What a shopper will do, as probabilities: buy within seven days, buy of a category, and which kind of act is next.

Lines over the frozen interest model and a few counts (portraits.py). They are learnt at weekly moments of the past
and made to mean what they say on the moments after those (outlook_fit.py). Labels arrive late: a moment serves only
once its seven days, and `delay_days` for what is reported late, are over before the cut.

The interest model is one trained before the same cut, so it has seen the weeks that the lines learn from. How far to
trust its vectors is therefore chosen on the later moments, and may be not at all.

N = subjects, R = rows (a subject at a moment), C = categories of the second level, K = kinds of action.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax

from zhitou.core.errors import ConfigError, ModelError
from zhitou.events.histories import Histories
from zhitou.events.schema import KINDS
from zhitou.interest.heads import Line
from zhitou.interest.outlook_columns import buys_columns, category_columns, kind_columns
from zhitou.interest.portraits import HABITS
from zhitou.interest.predict import Interest
from zhitou.learning.checkpoints import load_model, save_model

CHUNK = 512


@dataclass(frozen=True)
class OutlookConfig:
    """How an outlook is learnt.

    learn_weeks, calibrate_weeks: weekly moments to learn from, and after them those to calibrate on. delay_days: how
    late an event may be reported. rows_most: subjects at moments that are learnt from, and as many to calibrate on;
    category_rows_most: the same for categories (each row is C pairs) and for next actions. with_interest: without it
    only counts are used, the baseline. penalty: precision of each weight. penalties_vectors: those of the interest
    vector to choose from on the later moments (infinite: left out). category_shift_sd: how far a category's level
    may move by itself, in logits.
    """

    learn_weeks: int = 10
    calibrate_weeks: int = 3
    delay_days: int = 0
    rows_most: int = 20_000
    category_rows_most: int = 4_000
    penalty: float = 10.0
    penalties_vectors: tuple[float, ...] = (float("inf"), 300.0, 10.0)
    category_shift_sd: float = 0.3
    with_interest: bool = True

    def __post_init__(self) -> None:
        if self.learn_weeks < 1 or self.calibrate_weeks < 1 or self.delay_days < 0:
            raise ConfigError("expected at least one week to learn from, one to calibrate on and no negative delay")


@dataclass(frozen=True)
class Heads:
    """Everything learnt. platt_*: float64 [2], shift and slope. base_*: rates among the rows of calibration.

    category_logit, category_shift: float64 [C]. kinds: codes in events.schema.KINDS; kind_slope [1], kind_shift [K].
    """

    buys: Line
    platt_buys: np.ndarray
    base_buys: np.ndarray
    category: Line
    platt_category: np.ndarray
    category_logit: np.ndarray
    category_shift: np.ndarray
    base_category: np.ndarray
    kinds: np.ndarray
    kind: Line
    kind_slope: np.ndarray
    kind_shift: np.ndarray
    base_kind: np.ndarray


@dataclass(frozen=True)
class Outlook:
    """Probabilities for the seven days from `at_s` (Unix seconds) on; events at `at_s` or later are not read.

    A subject without any event before it gets the rate among those with one: of itself nothing is known. learnt: JSON
    values on what it was learnt from.
    """

    interest: Interest
    heads: Heads
    config: OutlookConfig
    learnt: dict[str, Any] = field(default_factory=dict)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the columns of `next_action`: the kinds of action that were seen as a next one."""
        return tuple(KINDS[code] for code in self.heads.kinds)

    def buys_within_7_days(self, histories: Histories, at_s: int) -> np.ndarray:
        """float64 [N]: the probability of at least one purchase."""
        known = histories.before(at_s)
        found = expit(buys_logits(self.interest, self.heads.buys, self.heads.platt_buys, known, at_s))
        return np.where(np.diff(known.offsets) > 0, found, self.heads.base_buys[0])

    def category(self, histories: Histories, at_s: int) -> np.ndarray:
        """float64 [N, C]: the probability of at least one purchase in each category of the second level.

        Column c is interest.items.category_names[1][c]; no entry exceeds the row's `buys_within_7_days`.
        """
        known, h = histories.before(at_s), self.heads
        buys = buys_logits(self.interest, h.buys, h.platt_buys, known, at_s)
        out = np.empty((len(known), len(h.category_logit)))
        used = self.config.with_interest
        for rows in chunks(len(known)):
            part = known.select(rows)
            pairs = category_columns(self.interest, part, at_s, buys[rows], h.category_logit, with_shares=used)
            logits = h.category(pairs)[:, 0].reshape(len(rows), -1)
            out[rows] = expit(moved(logits, h.platt_category) + h.category_shift)
        out = np.where(np.diff(known.offsets)[:, None] > 0, out, h.base_category)
        return np.minimum(out, self.buys_within_7_days(known, at_s)[:, None])

    def next_action(self, histories: Histories, at_s: int) -> np.ndarray:
        """float64 [N, K]: if there is a next step, the probability of each of `kinds` as its first action."""
        known, h = histories.before(at_s), self.heads
        at = np.full(len(known), at_s, dtype=np.int64)
        logits = h.kind(kind_columns(self.interest, known, at, vectors=self.config.with_interest))
        found = softmax(h.kind_slope * logits + h.kind_shift, axis=1)
        return np.where(np.diff(known.offsets)[:, None] > 0, found, h.base_kind)

    def save(self, folder: Path, facts: dict[str, Any] | None = None) -> str:
        """Write it to `folder`, without the interest model; returns its version."""
        tensors: dict[str, torch.Tensor | np.ndarray] = {}
        for name, value in vars(self.heads).items():
            parts = {f"{name}.{n}": v for n, v in vars(value).items()} if isinstance(value, Line) else {name: value}
            tensors |= parts
        manifest = {
            "model": "outlook",
            "config": {**asdict(self.config), "penalties_vectors": [str(p) for p in self.config.penalties_vectors]},
            "interest_sha256": _identity(self.interest),
            "learnt": self.learnt,
            "facts": facts or {},
        }
        return save_model(folder, tensors, manifest)

    @classmethod
    def load(cls, folder: Path, interest: Interest) -> Outlook:
        """The outlook in this folder. Refused (ModelError): altered files, or another interest model than its own."""
        tensors, manifest = load_model(folder)
        if manifest.get("model") != "outlook":
            raise ModelError(f"{folder} holds a {manifest.get('model')!r} model, expected 'outlook'")
        if manifest["interest_sha256"] != _identity(interest):
            raise ModelError(
                f"{folder} was learnt over another interest model than this one; load the one it was made with, or "
                "call fit_outlook again after each training"
            )
        parts: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
        for name in ("buys", "category", "kind"):
            parts[name] = Line(*(parts.pop(f"{name}.{part}") for part in ("mean", "scale", "weights", "intercept")))
        given = manifest["config"]
        given["penalties_vectors"] = tuple(float(p) for p in given["penalties_vectors"])
        return cls(interest, Heads(**parts), OutlookConfig(**given), manifest["learnt"])


def buys_logits(interest: Interest, line: Line, platt: np.ndarray, known: Histories, at_s: int) -> np.ndarray:
    """float64 [N]: calibrated logits of buying within seven days; `known` holds nothing at `at_s` or later."""
    vectors = len(line.mean) > 2 * len(HABITS)
    return moved(line(buys_columns(interest, known, at_s, vectors=vectors))[:, 0], platt)


def moved(logits: np.ndarray, platt: np.ndarray) -> np.ndarray:
    """Calibrated logits: platt is float64 [2], shift and slope."""
    return np.asarray(platt[0] + platt[1] * logits)


def chunks(n: int) -> Iterator[np.ndarray]:
    """0..n - 1 in runs of CHUNK rows: pairs with all categories of more would not fit."""
    for start in range(0, n, CHUNK):
        yield np.arange(start, min(start + CHUNK, n))


def _identity(interest: Interest) -> str:
    """SHA-256 over the weights of this model."""
    digest = hashlib.sha256(interest.vocabulary.fingerprint().encode())
    for name, tensor in sorted(interest.module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
