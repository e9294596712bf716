"""The finished response model: plain arrays, plain numpy, no torch between a request and its prices.

R = rows, F = fields, G = columns, A = ads, S = slots, H = width of the network.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, logit

from zhitou.core.errors import ModelError
from zhitou.response.bound import Bound
from zhitou.response.calibrate import Calibration
from zhitou.response.fields import Scaling
from zhitou.response.linear import Linear, Terms, ad_terms

CHUNK = 2_048  # rows that stay in the cache of one core together with all their intermediate columns
_LOGIT_MOST = 16.0  # keeps every probability strictly inside (0, 1)
_SURE = 1 - 1e-7  # a slot that is looked at more than the first makes no click certain
_KIND = "response"


@dataclass(frozen=True)
class Head:
    """One outcome: line + gate · network, calibrated. gate: how much of the network the later fold bore out."""

    line: Linear
    gate: float
    calibration: Calibration


@dataclass(frozen=True)
class Response:
    """pCTR of the first slot and pCVR of a click. Made by `train.fit_response`, kept by `save`, read by `load`.

    terms: what the lines are made of. network: the arrays of `model.Network`, None where clicks were too few for
    one or the later rows bore none out. places: float64 [C + 1, S + 1, 2], (shift, slope) of the click's logit in
    each channel and slot, the last ones for unseen (`places.by_place`); None where all places are alike. figures:
    what is known of the fit, for its manifest.
    """

    fields: tuple[str, ...]
    scaling: Scaling
    terms: Terms
    click: Head
    conversion: Head
    network: dict[str, np.ndarray] | None
    examination: np.ndarray
    figures: dict[str, Any] = field(default_factory=dict, compare=False)
    name: str = "zhitou"
    places: np.ndarray | None = None

    @property
    def calibration(self) -> str:
        """What receipts call that by which places differ."""
        return "none" if self.places is None else "channel and slot"

    def in_place(self, pctr: np.ndarray, channel: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """float64, of the arguments' common shape: the chance of a click there, for pctr as `predict` gives it.

        channel: int, in the numbers of the rows that were calibrated on, -1 = not told; slot: int, 0 = the first. A
        slot the model has not seen counts as the last one it has.
        """
        p = np.minimum(pctr * self.examination[np.minimum(slot, len(self.examination) - 1)], _SURE)
        if self.places is None:
            return np.asarray(p)
        channels, slots = np.array(self.places.shape[:2]) - 1
        known = np.where((channel >= 0) & (channel < channels), channel, channels)
        line = self.places[known, np.minimum(slot, slots)]
        return probability(line[..., 0] + line[..., 1] * logit(p))

    def predict(self, fields: np.ndarray, ad: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), float64 [...], strictly inside (0, 1), of fields float32 [..., F]; NaN = unknown.

        ad: int [...] or anything that broadcasts to it, numbers of the AdBook the rows were logged with; without
        it, and for a number not trained on, an ad counts as the average impression. Refused: another F.
        """
        lead = fields.shape[:-1]
        flat = np.asarray(fields, dtype=np.float32).reshape(math.prod(lead), fields.shape[-1])
        ads = None if ad is None else np.broadcast_to(ad, lead).ravel()
        out = np.empty((2, len(flat)))
        for start in range(0, len(flat), CHUNK):
            rows = slice(start, start + CHUNK)
            logits = self.logits(self.scaling.columns(flat[rows]))
            for o, head in enumerate((self.click, self.conversion)):
                score = logits[:, o] if ads is None else logits[:, o] + ad_terms(head.line.ads, ads[rows])
                out[o, rows] = probability(head.calibration(score))
        return out[0].reshape(lead), out[1].reshape(lead)

    def for_ads(self, ads: np.ndarray) -> BoundResponse:
        """The same model for fields [..., K, F] whose K ads are these numbers (int [K]): what decisions hold."""
        return BoundResponse(self, np.asarray(ads, dtype=np.int32))

    def logits(self, columns: np.ndarray) -> np.ndarray:
        """float64 [R, 2]: of click and conversion before ads, slots and calibration, for columns float32 [R, G]."""
        weights, constants = self._lines
        out = self.terms(columns) @ weights
        if self.network is not None:
            out += network_logits(self.network, columns) * self._gates
        return out.astype(np.float64) + constants

    @cached_property
    def _lines(self) -> tuple[np.ndarray, np.ndarray]:
        heads = (self.click, self.conversion)
        weights = np.stack([h.line.weights for h in heads], 1).astype(np.float32)
        return weights, np.array([h.line.intercept for h in heads])

    @cached_property
    def _gates(self) -> np.ndarray:
        return np.array([self.click.gate, self.conversion.gate], dtype=np.float32)

    @cached_property
    def version(self) -> str:
        """A hash of every number the predictions depend on: equal versions predict equally."""
        return f"response_{digest_of(self.fields, self.arrays()).hexdigest()}"

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything as named arrays: what is saved, and what the version is a hash of."""
        out = {f"scaling.{k}": np.asarray(v) for k, v in vars(self.scaling).items()}
        out |= {f"terms.{k}": np.asarray(v) for k, v in vars(self.terms).items()}
        out["examination"] = self.examination
        for part, head in (("click", self.click), ("conversion", self.conversion)):
            line, cal = head.line, head.calibration
            out |= {f"{part}.weights": line.weights, f"{part}.slots": line.slots, f"{part}.ads": line.ads}
            out[f"{part}.numbers"] = np.array([line.intercept, head.gate, cal.shift, cal.low, cal.high])
            if cal.knots is not None:
                out[f"{part}.isotonic"] = cal.knots
        if self.places is not None:
            out["places"] = self.places
        return out | {f"network.{k}": v for k, v in (self.network or {}).items()}

    def save(self, folder: Path) -> None:
        """Write arrays and manifest to `folder`, in one move."""
        from zhitou.learning.checkpoints import save_model  # torch: at the rim only

        save_model(folder, self.arrays(), self.facts())

    def facts(self) -> dict[str, Any]:
        """What the manifest says beside the arrays."""
        kinds = {"click": self.click.calibration.kind, "conversion": self.conversion.calibration.kind}
        facts = {"kind": _KIND, "name": self.name, "version": self.version, "fields": list(self.fields)}
        return {**facts, "calibration": kinds, "figures": self.figures}

    @classmethod
    def load(cls, folder: Path) -> Response:
        """The model that `save` wrote. Refused (ModelError): altered files, another kind of model."""
        from zhitou.learning.checkpoints import load_model

        tensors, manifest = load_model(folder)
        if manifest.get("kind") != _KIND:
            raise ModelError(f"{folder} holds a model of kind {manifest.get('kind')!r}, expected {_KIND!r}")
        return cls.of_arrays({name: tensor.numpy() for name, tensor in tensors.items()}, manifest)

    @classmethod
    def of_arrays(cls, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> Response:
        """The model of these arrays, as `arrays` names them, and what `save` writes into the manifest of them.

        Refused (ModelError): arrays of a model whose line bent only once, at its columns' medians.
        """
        if "terms.knots" not in arrays:
            raise ModelError(
                "expected knots of a response model's terms, got a model of an earlier version; train anew"
            )
        part = {name: _below(arrays, name) for name in ("scaling", "terms", "network", "click", "conversion")}
        heads = {n: _head(part[n], manifest["calibration"][n]) for n in ("click", "conversion")}
        return cls(
            fields=tuple(manifest["fields"]),
            scaling=Scaling(**part["scaling"]),
            terms=Terms(**part["terms"] | {"width": part["terms"]["width"].item()}),
            network=part["network"] or None,
            examination=arrays["examination"],
            figures=manifest["figures"],
            name=manifest["name"],
            places=arrays.get("places"),
            **heads,
        )


@dataclass(frozen=True)
class BoundResponse(Bound[Response]):
    """A Response that knows which ads its columns belong to. `ads`: int32 [K]."""

    @property
    def calibration(self) -> str:
        """By what places differ, in a word or two; "none" if all are alike."""
        return self.response.calibration

    def in_place(self, pctr: np.ndarray, channel: np.ndarray, slot: np.ndarray) -> np.ndarray:
        """float64: the chance of a click in these slots of these channels, for pctr as `predict` gives it."""
        return self.response.in_place(pctr, channel, slot)

    def predict(self, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), float64 [..., K], of fields float32 [..., K, F]."""
        return self.response.predict(fields, self.ads)


def network_logits(network: dict[str, np.ndarray], columns: np.ndarray) -> np.ndarray:
    """float32 [R, 2]: what the network adds; the same arithmetic as `model.Network.forward`."""
    n = network
    crossed = columns @ n["cross"]
    crossed += n["cross_shift"]
    crossed *= columns
    hidden = (columns + crossed) @ n["first"]
    hidden += n["first_shift"]
    np.maximum(hidden, 0, out=hidden)
    hidden = hidden @ n["second"]
    hidden += n["second_shift"]
    np.maximum(hidden, 0, out=hidden)
    return crossed @ n["cross_out"] + hidden @ n["out"]


def probability(logits: np.ndarray) -> np.ndarray:
    """float64 of the same shape, strictly inside (0, 1)."""
    return np.asarray(expit(np.clip(logits, -_LOGIT_MOST, _LOGIT_MOST)))


def digest_of(fields: tuple[str, ...], arrays: dict[str, np.ndarray]) -> hashlib.blake2b:
    """A hash, open for more, of a model's fields and of every one of its numbers."""
    digest = hashlib.blake2b("\x1f".join(fields).encode(), digest_size=12)
    for key, value in sorted(arrays.items()):
        digest.update(f"{key}{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    return digest


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(f"{prefix}."): v for k, v in arrays.items() if k.startswith(f"{prefix}.")}


def _head(arrays: dict[str, np.ndarray], kind: str) -> Head:
    intercept, gate, shift, low, high = (float(v) for v in arrays["numbers"])
    line = Linear(intercept, arrays["weights"], arrays["slots"], arrays["ads"])
    return Head(line, gate, Calibration(kind, shift, low, high, arrays.get("isotonic")))
