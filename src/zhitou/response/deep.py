"""The finished deep response model: arrays and numpy, no torch between a request and its prices.

B = requests, K = ads of each, R = rows, F = fields, G = columns, S = slots.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zhitou.core.errors import ModelError, SchemaError
from zhitou.learning.manifest import load_arrays, save_arrays
from zhitou.response.bound import Bound
from zhitou.response.calibrate import Calibration
from zhitou.response.deep_doubt import Doubt
from zhitou.response.deep_forward import Weights, forward
from zhitou.response.deep_inputs import AdSide, Codes, RequestSide, Side
from zhitou.response.groups import GroupCalibration, Level
from zhitou.response.linear import ad_terms
from zhitou.response.response import CHUNK, Response, digest_of, probability
from zhitou.response.rows import Rows

_KIND = "deep response"


@dataclass(frozen=True)
class DeepResponse:
    """pCTR of the first slot and pCVR of a click. Made by `deep_fit.fit_deep`, kept by `save`, read by `load`.

    line: what the network stands on; its logits are of all rows, and its own calibration is not used. network: the
    arrays of `deep_module.DeepNetwork`, None where clicks were too few. gates: how much of it later rows bore out,
    (click, conversion). codes: rows of the categories' table; ads: what is known of each ad. click: calibration by
    (channel and) slot; conversion: of all. doubt: of the click's logit.
    """

    line: Response
    network: Weights | None
    gates: tuple[float, float]
    codes: Codes
    ads: AdSide
    request_names: tuple[str, ...]
    history_length: int
    click: GroupCalibration
    conversion: Calibration
    doubt: Doubt
    examination: np.ndarray
    figures: dict[str, Any] = field(default_factory=dict, compare=False)
    name: str = "deep"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the F fields, in order."""
        return self.line.fields

    def predict(
        self, fields: np.ndarray, ad: np.ndarray | None = None, requests: RequestSide | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), float64 [...], strictly inside (0, 1), of fields float32 [..., F]; NaN = unknown.

        ad: as of `Response.predict`. requests: N = B requests, for fields [B, K, F]; without them nothing is known
        but the fields and the ads. Refused (SchemaError): another F, another B, other columns of requests.
        """
        logits, _, channel = self._scored(fields, ad, requests)
        z = self._first_slot(logits[..., 0], channel)
        buy = self.conversion(logits[..., 1])
        lead = np.shape(fields)[:-1]
        pctr, pcvr = (probability(v).reshape(lead) for v in (z, buy))
        return pctr, pcvr

    def click_logit(
        self, fields: np.ndarray, ad: np.ndarray | None = None, requests: RequestSide | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(mean, standard deviation), float64 [...], of the first slot's click logit: for policies that explore.

        What is not in it: that later rows may differ from all that were seen.
        """
        logits, doubt, channel = self._scored(fields, ad, requests, doubts=True)
        lead = np.shape(fields)[:-1]
        base = self.click.base
        slope = 1.0 if base.knots is not None else base.low
        return self._first_slot(logits[..., 0], channel).reshape(lead), (slope * doubt).reshape(lead)

    def in_slots(self, rows: Rows, side: Side | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(probability of a click in the row's own slot, pcvr), float64 [R], of logged rows."""
        side = side or Side.nothing(rows.ad)
        logits = self.logits(rows, side)
        slot = np.minimum(rows.slot, len(self.examination) - 1)
        z = self.click(logits[:, 0] + self.line.click.line.slots[slot], self._groups(side, slot))
        pclick, pcvr = (probability(v) for v in (z, self.conversion(logits[:, 1])))
        return pclick, pcvr

    def logits(self, rows: Rows, side: Side) -> np.ndarray:
        """float64 [R, 2]: of click and conversion in the first slot, before calibration."""
        out = np.empty((len(rows), 2))
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            requests = side.requests.select(side.request[part])
            scored, _ = self._logits(rows.fields[part][:, None], rows.ad[part][:, None], requests, False)
            out[part] = scored[:, 0]
        return out

    def hidden(self, rows: Rows, side: Side) -> np.ndarray:
        """float32 [R, H]: the last hidden layer of logged rows, what the doubt is a function of."""
        parts = []
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            columns = self.line.scaling.columns(rows.fields[part])[:, None]
            parts.append(self._added(columns, rows.ad[part], side.requests.select(side.request[part]))[1][:, 0])
        return np.concatenate(parts)

    def for_ads(self, ads: np.ndarray) -> BoundDeep:
        """The same model for fields [..., K, F] whose K ads are these numbers (int [K]): what decisions hold."""
        return BoundDeep(self, np.asarray(ads, dtype=np.int32))

    def _scored(
        self, fields: np.ndarray, ad: np.ndarray | None, requests: RequestSide | None, doubts: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """(logits [B, K, 2], doubt [B, K], channel [B]): without requests, B = 1 and K = all rows."""
        fields = np.asarray(fields, dtype=np.float32)
        lead, ads = fields.shape[:-1], None if ad is None else np.broadcast_to(ad, fields.shape[:-1])
        B = 1 if requests is None else len(requests)
        if requests is not None and (len(lead) != 2 or lead[0] != B):
            raise SchemaError(f"expected fields [{B}, K, F] for {B} requests, got shape {fields.shape}")
        K = int(np.prod(lead)) // B if B else 0
        flat = fields.reshape(B, K, fields.shape[-1])
        numbers = np.full((B, K), -1) if ads is None else ads.reshape(B, K)
        known = RequestSide.nothing(1, self._like) if requests is None else requests
        out, doubt = np.empty((B, K, 2)), np.zeros((B, K))
        step = max(1, CHUNK // max(K, 1))
        for b in range(0, B, step):
            for k in range(0, K, CHUNK):
                at = (slice(b, b + step), slice(k, k + CHUNK))
                mine = known.select(np.arange(b, min(b + step, B)))
                out[at], doubt[at] = self._logits(flat[at], numbers[at], mine, doubts)
        return out, doubt, known.channel

    def _logits(
        self, fields: np.ndarray, ad: np.ndarray, requests: RequestSide, doubts: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """(logits float64 [B, K, 2] in the first slot before calibration, doubt [B, K]) of fields [B, K, F]."""
        B, K = ad.shape
        columns = self.line.scaling.columns(fields.reshape(B * K, fields.shape[-1]))
        ads = ad.ravel()
        out = self.line.logits(columns)
        for o, head in enumerate((self.line.click, self.line.conversion)):
            out[:, o] += ad_terms(head.line.ads, ads)
        hidden = np.zeros((B * K, 0), dtype=np.float32)
        if self.network is not None:
            added, last = self._added(columns.reshape(B, K, -1), ads, requests)
            out += added.reshape(B * K, 2) * np.asarray(self.gates)
            hidden = last.reshape(B * K, -1)
        doubt = self.doubt(self.line.terms(columns), hidden, ads) if doubts else np.zeros(B * K)
        return out.reshape(B, K, 2), doubt.reshape(B, K)

    def _added(self, columns: np.ndarray, ads: np.ndarray, requests: RequestSide) -> tuple[np.ndarray, np.ndarray]:
        assert self.network is not None, "asked only where there is a network"
        B, K, _ = columns.shape
        if requests.names != self.request_names:
            raise SchemaError(f"expected requests with {self.request_names}, got {requests.names}")
        if requests.interest.shape[1] != len(self.network["interest"]):
            widths = len(self.network["interest"]), requests.interest.shape[1]
            raise SchemaError(f"expected interest vectors of width {widths[0]}, got {widths[1]}")
        codes, target = coded(self.codes, self.ads, ads, requests.codes, K)
        vectors = requests.vectors(np.arange(B))
        return forward(
            self.network,
            columns,
            codes.reshape(B, K, -1),
            target.reshape(B, K),
            requests.history,
            requests.ages,
            vectors,
        )

    def _first_slot(self, logits: np.ndarray, channel: np.ndarray | None) -> np.ndarray:
        """Calibrated as of the first slot of each request's channel, float64 [B, K]."""
        out = np.asarray(self.click.base(logits), dtype=np.float64)
        by_channel = "channel" in self.click.names
        for b in range(len(out)):
            key: tuple[str, ...] = ()
            first = [str(channel[b])] if by_channel and channel is not None else ["?"] if by_channel else []
            for lines, value in zip(self._group_lines, [*first, "0"], strict=True):
                key = (*key, value)
                if key not in lines:
                    break
                shift, slope = lines[key]
                out[b] = shift + slope * out[b]
        return out

    @cached_property
    def _group_lines(self) -> tuple[dict[tuple[str, ...], tuple[float, float]], ...]:
        """Of each level, the line of each of its groups."""
        return tuple(
            {key: (float(a), float(b)) for key, (a, b) in zip(level.keys, level.lines, strict=True)}
            for level in self.click.levels
        )

    def _groups(self, side: Side, slot: np.ndarray) -> tuple[np.ndarray, ...]:
        return groups_of(side, slot, "channel" in self.click.names)

    @cached_property
    def _like(self) -> RequestSide:
        width = 0 if self.network is None else self.network["interest"].shape[0]
        length = self.history_length
        empty = np.zeros((0, len(self.request_names)), dtype=np.int64)
        none = np.zeros((0, length), dtype=np.int32)
        who, vectors = np.zeros(0, dtype=np.int32), np.zeros((0, width), dtype=np.float32)
        return RequestSide(self.request_names, empty, none, none.astype(np.float32), who, vectors)

    @cached_property
    def version(self) -> str:
        """A hash of every number the predictions depend on: equal versions predict equally."""
        digest = digest_of(self.fields, self._arrays())
        names = (self.request_names, self.ads.names, [level.keys for level in self.click.levels])
        digest.update(repr(names).encode())
        return f"deep_{digest.hexdigest()}"

    def _arrays(self) -> dict[str, np.ndarray]:
        """Everything as named arrays; the line's carry its name."""
        out = {f"line.{k}": v for k, v in self.line.arrays().items()}
        out |= {f"network.{k}": v for k, v in (self.network or {}).items()}
        out |= {f"codes.{c}": kept for c, kept in enumerate(self.codes.kept)}
        out |= {"ads.codes": self.ads.codes, "ads.target": self.ads.target, "examination": self.examination}
        out |= {"doubt.root": self.doubt.root, "doubt.ads": self.doubt.ad_variance, "gates": np.array(self.gates)}
        for part, one in (("click", self.click.base), ("conversion", self.conversion)):
            out[f"{part}.numbers"] = np.array([one.shift, one.low, one.high])
            if one.knots is not None:
                out[f"{part}.knots"] = one.knots
        for n, level in enumerate(self.click.levels):
            out |= {f"level{n}.{k}": np.asarray(getattr(level, k)) for k in ("lines", "rows", "positives", "sd")}
        return out

    def save(self, folder: Path) -> None:
        """Write arrays and manifest to `folder`, in one move."""
        facts = {
            "kind": _KIND,
            "name": self.name,
            "version": self.version,
            "line": self.line.facts(),
            "ads": list(self.ads.names),
            "requests": list(self.request_names),
            "history_length": self.history_length,
            "calibration": [self.click.base.kind, self.conversion.kind],
            "groups": {"names": list(self.click.names), "keys": [level.keys for level in self.click.levels]},
            "figures": self.figures,
        }
        save_arrays(folder, self._arrays(), facts)

    @classmethod
    def load(cls, folder: Path) -> DeepResponse:
        """The model that `save` wrote, without torch. Refused (ModelError): altered files, another kind of model."""
        arrays, facts = load_arrays(folder)
        if facts.get("kind") != _KIND:
            raise ModelError(f"{folder} holds a model of kind {facts.get('kind')!r}, expected {_KIND!r}")

        def below(name: str) -> dict[str, np.ndarray]:
            return {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}

        def calibration(part: str, kind: str) -> Calibration:
            shift, low, high = (float(v) for v in arrays[f"{part}.numbers"])
            return Calibration(kind, shift, low, high, arrays.get(f"{part}.knots"))

        ads, names = below("ads"), (*facts["ads"], *facts["requests"])
        keys = facts["groups"]["keys"]
        levels = tuple(_level(below(f"level{n}"), keys[n]) for n in range(len(keys)))
        kinds = facts["calibration"]
        return cls(
            line=Response.of_arrays(below("line"), facts["line"]),
            network=below("network") or None,
            gates=(float(arrays["gates"][0]), float(arrays["gates"][1])),
            codes=Codes(names, tuple(arrays[f"codes.{c}"] for c in range(len(names)))),
            ads=AdSide(tuple(facts["ads"]), ads["codes"], ads["target"]),
            request_names=tuple(facts["requests"]),
            history_length=facts["history_length"],
            click=GroupCalibration(tuple(facts["groups"]["names"]), calibration("click", kinds[0]), levels),
            conversion=calibration("conversion", kinds[1]),
            doubt=Doubt(arrays["doubt.root"], arrays["doubt.ads"]),
            examination=arrays["examination"],
            figures=facts["figures"],
            name=facts["name"],
        )


@dataclass(frozen=True)
class BoundDeep(Bound[DeepResponse]):
    """A DeepResponse that knows its ads (int32 [K]) and, for one batch, who asks."""

    requests: RequestSide | None = None

    def at(self, requests: RequestSide) -> BoundDeep:
        """The same for these requests, whose fields are [B, K, F]."""
        return replace(self, requests=requests)

    def predict(self, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(pctr, pcvr), float64 [..., K], of fields float32 [..., K, F]."""
        return self.response.predict(fields, self.ads, self.requests)

    def click_logit(self, fields: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(mean, standard deviation), float64 [..., K], of the click's logit."""
        return self.response.click_logit(fields, self.ads, self.requests)


def coded(
    codes: Codes, ads: AdSide, ad: np.ndarray, request_codes: np.ndarray, each: int
) -> tuple[np.ndarray, np.ndarray]:
    """(rows of the categories' table int32 [R, C + Q], target int32 [R]) of ads int [R], `each` to a request."""
    values, target = ads.of(ad)
    return codes(np.concatenate([values, np.repeat(request_codes, each, axis=0)], 1)), target


def groups_of(side: Side, slot: np.ndarray, by_channel: bool) -> tuple[np.ndarray, ...]:
    """The columns that calibration is grouped by: (channel, slot) or (slot,), each [R]."""
    slots = slot.astype(np.int64)
    if not by_channel:
        return (slots,)
    channel = side.requests.channel
    return (np.full(len(slots), UNSEEN) if channel is None else channel[side.request].astype(np.int64), slots)


UNSEEN = -(2**31)  # a channel that no log has: calibrated as all rows are


def _level(arrays: dict[str, np.ndarray], keys: list[list[str]]) -> Level:
    sd = float(arrays["sd"][0]), float(arrays["sd"][1])
    return Level(tuple(tuple(key) for key in keys), arrays["lines"], arrays["rows"], arrays["positives"], sd)
