"""Shoppers who are alike, found and then named in words: k-means on recency, frequency, money and taste.

S = subjects, D = measures, C = segments. The measures are standardised: ln(1 + days since the last act),
ln(1 + orders), ln(1 + spend), lines per order, and square roots of the shares of the largest categories, of the
price levels and of the parts of the day. The number of segments is the one with the largest mean silhouette
(Rousseeuw 1987) among those whose smallest segment holds SMALLEST_SHARE of all shoppers.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from zhitou.catalog.table import ItemTable
from zhitou.core import columns as c
from zhitou.core.chance import Chance
from zhitou.core.errors import NotFoundError, SourceError
from zhitou.core.units import MICROS, SECONDS_PER_DAY
from zhitou.features.acts import PARTS_OF_DAY, PRICE_LEVELS, Acts
from zhitou.features.cells import CATEGORY_LEVEL
from zhitou.features.tags import Profiles, short_names

SEGMENTS_FILE = "segments.parquet"
SMALLEST_SHARE = 0.02
CATEGORIES = 24  # the largest ones describe taste; the rest are too thin to tell shoppers apart
SILHOUETTE_SHOPPERS = 1_500  # the silhouette compares all pairs: more shoppers are sampled
MINI_BATCH_SHOPPERS = 20_000  # above it, MiniBatchKMeans
_CLIP = 3.0  # standard deviations: one odd shopper makes no segment


@dataclass(frozen=True)
class Segment:
    """A group of shoppers: its name (for targeting), in words, and how many they are."""

    segment: str
    description: str
    shoppers: int


@dataclass(frozen=True)
class Segments:
    """Which segment each subject (sorted) belongs to: number int32 [S], position in `segments`, largest first.

    silhouettes: the criterion of each number of segments that was tried.
    """

    subjects: np.ndarray
    number: np.ndarray
    segments: tuple[Segment, ...]
    silhouettes: dict[int, float]

    def of(self, subject: str) -> str:
        """The segment id of this subject. Refused (NotFoundError): a subject in none."""
        at = int(np.searchsorted(self.subjects, subject))
        if at == len(self.subjects) or self.subjects[at] != subject:
            raise NotFoundError(f"{subject!r} is in no segment: no known act before the cut, or no consent to one")
        return self.segments[self.number[at]].segment

    def by_subject(self) -> dict[str, str]:
        """Segment id by subject, for lookups by the thousand."""
        ids = [segment.segment for segment in self.segments]
        return {subject: ids[n] for subject, n in zip(self.subjects, self.number, strict=True)}

    def write(self, folder: Path) -> Path:
        """segments.parquet: subject, segment, description, shoppers."""
        path, n = folder / SEGMENTS_FILE, self.number
        table = pa.table(
            {
                c.SUBJECT: pa.array(self.subjects, type=pa.string()),
                "segment": pa.array([s.segment for s in self.segments], type=pa.string()).take(pa.array(n)),
                "description": pa.array([s.description for s in self.segments], type=pa.string()).take(pa.array(n)),
                "shoppers": pa.array([s.shoppers for s in self.segments], type=pa.int64()).take(pa.array(n)),
            }
        )
        meta = {b"silhouettes": json.dumps(self.silhouettes).encode()}
        pq.write_table(table.replace_schema_metadata(meta), path)
        return path

    @classmethod
    def read(cls, folder: Path) -> Segments:
        """From segments.parquet in this folder. Refused (SourceError): none there."""
        path = folder / SEGMENTS_FILE
        if not path.exists():
            raise SourceError(f"expected segments at {path}, found none; run `zhitou features` first")
        table = pq.read_table(path)
        rows = table.group_by(["segment", "description", "shoppers"], use_threads=False).aggregate([])
        segments = [Segment(r["segment"], r["description"], r["shoppers"]) for r in rows.to_pylist()]
        segments.sort(key=lambda s: (-s.shoppers, s.segment))
        place = {s.segment: i for i, s in enumerate(segments)}
        silhouettes = json.loads(table.schema.metadata[b"silhouettes"])
        return cls(
            subjects=np.asarray(table[c.SUBJECT].to_pylist(), dtype=object),
            number=np.asarray([place[s] for s in table["segment"].to_pylist()], dtype=np.int32),
            segments=tuple(segments),
            silhouettes={int(k): v for k, v in silhouettes.items()},
        )


def build_segments(
    acts: Acts, profiles: Profiles, items: ItemTable, chance: Chance, fewest: int = 4, most: int = 9
) -> Segments:
    """Between `fewest` and `most` segments of these shoppers; all in one if there are too few to tell apart."""
    measures = _measures(acts, profiles)
    x = _standardised(measures)
    silhouettes: dict[int, float] = {}
    chosen = np.zeros(len(x), dtype=np.int32)
    with threadpool_limits(1):  # sums over threads differ in the last digit, and the same seed gives the same bytes
        for count in range(fewest, most + 1):
            if len(np.unique(x, axis=0)) <= count:
                break
            labels = _cluster(x, count, chance)
            silhouette = _silhouette(x, labels, chance)
            smallest = np.bincount(labels, minlength=count).min()
            best = max(silhouettes.values(), default=-1.0)
            silhouettes[count] = silhouette if smallest >= SMALLEST_SHARE * len(x) else -1.0
            if silhouettes[count] > best:
                chosen = labels
    number, segments = _name(chosen, x, measures, profiles, items)
    return Segments(acts.subjects, number, segments, silhouettes)


@dataclass(frozen=True)
class _Measures:
    """The raw measures of S subjects: money and rhythm by name, shares by kind ([S, codes]), category codes."""

    rhythm: dict[str, np.ndarray]
    shares: dict[str, np.ndarray]
    categories: np.ndarray


def _measures(acts: Acts, profiles: Profiles) -> _Measures:
    table = profiles.table
    days = (profiles.at_s - table["last_s"].to_numpy()) / SECONDS_PER_DAY
    rhythm = {
        "recency": np.log1p(days),
        "orders": np.log1p(table["orders"].to_numpy()),
        "spend": np.log1p(np.maximum(table["spend_micros"].to_numpy(), 0) / MICROS),
        "basket": np.log1p(np.nan_to_num(table["lines_per_order"].to_numpy(zero_copy_only=False))),
    }
    category = acts.column("category")
    total = np.bincount(category, weights=acts.column("points"))
    total[0] = 0
    largest = np.argsort(-total, kind="stable")[:CATEGORIES]
    largest = np.sort(largest[total[largest] > 0])
    cell = np.full(len(total), -1)
    cell[largest] = np.arange(len(largest))
    shares = {
        "category": _shares(acts, cell[category], len(largest)),
        "price": _shares(acts, acts.column("price_level").astype(np.int64) - 1, len(PRICE_LEVELS)),
        "time": _shares(acts, acts.column("part").astype(np.int64) - 1, len(PARTS_OF_DAY)),
    }
    return _Measures(rhythm, shares, largest)


def _shares(acts: Acts, cell: np.ndarray, cells: int) -> np.ndarray:
    """float64 [S, cells]: share of each subject's points in each cell."""
    subject, points = acts.column("subject"), acts.column("points").astype(np.float64)
    total = np.bincount(subject, weights=points, minlength=len(acts.subjects))
    known = cell >= 0
    flat = subject[known].astype(np.int64) * cells + cell[known]
    sums = np.bincount(flat, weights=points[known], minlength=len(acts.subjects) * cells)
    return sums.reshape(len(total), cells) / np.maximum(total, 1.0)[:, None]


def _standardised(measures: _Measures) -> np.ndarray:
    """float64 [S, D]: each block of measures weighs as much as one of its columns would alone times its root."""
    blocks = [np.stack(list(measures.rhythm.values()), axis=1), *(np.sqrt(s) for s in measures.shares.values())]
    out = []
    for block in blocks:
        spread = block.std(axis=0)
        z = (block - block.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0)
        out.append(np.clip(z, -_CLIP, _CLIP) / np.sqrt(block.shape[1] if block.shape[1] else 1))
    return np.concatenate(out, axis=1)


def _cluster(x: np.ndarray, count: int, chance: Chance) -> np.ndarray:
    seed = chance.number("segments", count) % 2**32
    model = KMeans if len(x) <= MINI_BATCH_SHOPPERS else MiniBatchKMeans
    return model(n_clusters=count, n_init=3, random_state=seed).fit_predict(x).astype(np.int32)


def _silhouette(x: np.ndarray, labels: np.ndarray, chance: Chance) -> float:
    if len(x) > SILHOUETTE_SHOPPERS:
        some = chance.stream("segments/silhouette").choice(len(x), SILHOUETTE_SHOPPERS, replace=False)
        x, labels = x[some], labels[some]
    if len(np.unique(labels)) < 2:
        return -1.0
    return round(float(silhouette_score(x, labels)), 6)


def _name(
    labels: np.ndarray, x: np.ndarray, measures: _Measures, profiles: Profiles, items: ItemTable
) -> tuple[np.ndarray, tuple[Segment, ...]]:
    """Segments from the largest to the smallest, each described by where it differs most from all shoppers."""
    sizes = np.bincount(labels)
    segments: list[Segment] = []
    for label in np.argsort(-sizes, kind="stable"):
        members = labels == label
        words = ", ".join(_describe(members, measures, profiles, items))
        size = int(members.sum())
        segments.append(Segment(_free(_slug(words), segments), f"{words}; {size:,} shoppers", size))
    found = np.argsort(np.argsort(-sizes, kind="stable"))[labels]  # place of each subject's segment in `segments`
    order = sorted(range(len(segments)), key=lambda n: (-segments[n].shoppers, segments[n].segment))
    return np.argsort(order).astype(np.int32)[found], tuple(segments[n] for n in order)


def _slug(words: str) -> str:
    """Words as a name: what a buyer targets, the same as long as the segment is described the same."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def _free(name: str, taken: list[Segment]) -> str:
    """The name, with the next free number if a larger segment has it."""
    names = {segment.segment for segment in taken}
    return next(n for n in (name, *(f"{name}-{i}" for i in range(2, len(names) + 3))) if n not in names)


def _describe(members: np.ndarray, measures: _Measures, profiles: Profiles, items: ItemTable) -> list[str]:
    names = short_names(items.category_names[CATEGORY_LEVEL])
    out = [f"{_rhythm(members, profiles)} {_size(members, measures)} baskets"]
    strong = _strongest(members, measures.shares["category"], [names[code] for code in measures.categories], 2)
    if strong:
        out.append(f"strong in {' and '.join(strong)}")
    if price := _strongest(members, measures.shares["price"], [f"{p} prices" for p in PRICE_LEVELS], 1):
        out.append(price[0])
    if time := _strongest(members, measures.shares["time"], [f"{p} shoppers" for p in PARTS_OF_DAY], 1):
        out.append(time[0])
    return out


def _rhythm(members: np.ndarray, profiles: Profiles) -> str:
    """A word for the median days between orders."""
    days = profiles.table["interval_days_median"].to_numpy(zero_copy_only=False)[members]
    if np.isnan(days).mean() > 0.5:
        return "single"
    median = float(np.nanmedian(days))
    steps = ((2.5, "near daily"), (5.0, "twice weekly"), (10.0, "weekly"), (18.0, "fortnightly"), (45.0, "monthly"))
    return next((word for limit, word in steps if median <= limit), "rare")


def _size(members: np.ndarray, measures: _Measures) -> str:
    basket = measures.rhythm["basket"]
    low, high = np.quantile(basket, (0.4, 0.6))
    middle = float(np.median(basket[members]))
    return "small" if middle < low else "big" if middle > high else "middling"


def _strongest(members: np.ndarray, shares: np.ndarray, words: list[str], top: int) -> list[str]:
    """The words whose share among members stands furthest above all shoppers', by share * ln(lift), lift >= 1.1."""
    own, everybody = shares[members].mean(axis=0), shares.mean(axis=0)
    lift = np.divide(own, everybody, out=np.ones(len(own)), where=everybody > 0)
    score = np.where(lift >= 1.1, own * np.log(np.maximum(lift, 1.0)), 0.0)
    order = np.argsort(-score, kind="stable")[:top]
    return [words[i] for i in order if score[i] > 0]
