"""What is bought together: association rules by FP-growth (Han, Pei and Yin, SIGMOD 2000).

Things are finest categories, or items where the catalogue names hardly any category. Candidates are grown on a
seeded sample of baskets at a somewhat lower support and then counted in every basket (Toivonen, VLDB 1996), so that
every figure of a rule is exact; the sample can only miss a set that lies at the very edge of the support.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlxtend.frequent_patterns import association_rules, fpgrowth
from scipy import sparse

from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.features.acts import Acts
from zhitou.features.cells import TYPE_LEVEL
from zhitou.features.tags import long_names

RULES_FILE = "rules.parquet"
TYPES_FEWEST = 20  # with fewer known categories, rules are about items
THINGS_MOST = 400  # columns of the encoding; the most frequent are kept
EDGE = 0.9  # the sample is mined at this share of the support asked for
_MARKS_MOST = 200_000_000  # basket-thing marks of the dense table that the library works on: 200 MB


@dataclass(frozen=True)
class Rule:
    """If a basket holds all of `given`, it holds `then` with this confidence.

    support: share of all baskets that hold both; lift: confidence over the share of baskets with `then`;
    baskets: how many hold both; given_baskets: how many hold `given`.
    """

    given: tuple[str, ...]
    then: str
    support: float
    confidence: float
    lift: float
    baskets: int
    given_baskets: int

    def __str__(self) -> str:
        given = " and ".join(self.given)
        share, times = f"{self.confidence:.0%}", f"{self.lift:.1f} times as often as in all baskets"
        return f"{given} -> {self.then}: {share} of {self.given_baskets:,} baskets, {times}"


@dataclass(frozen=True)
class Rules:
    """Rules by falling lift; counted in `baskets` baskets, candidates grown on `mined` of them, about `things`."""

    rules: tuple[Rule, ...]
    baskets: int
    mined: int
    things: str
    support_min: float

    def top(self, count: int = 10) -> list[str]:
        """The rules of the highest lift in words, after a line that says what they rest on."""
        sample = "" if self.mined == self.baskets else f", candidates from a sample of {self.mined:,}"
        head = f"{len(self.rules):,} rules on {self.things} in {self.baskets:,} baskets{sample}"
        return [f"{head}; support of {self.support_min:.1%} or more:", *map(str, self.rules[:count])]

    def write(self, folder: Path) -> Path:
        """rules.parquet: given (list), then, support, confidence, lift, baskets, given_baskets."""
        path = folder / RULES_FILE
        schema = pa.schema(
            [
                pa.field("given", pa.list_(pa.string()), nullable=False),
                pa.field("then", pa.string(), nullable=False),
                *(pa.field(name, pa.float64(), nullable=False) for name in ("support", "confidence", "lift")),
                *(pa.field(name, pa.int64(), nullable=False) for name in ("baskets", "given_baskets")),
            ]
        )
        table = pa.table({n: [getattr(r, n) for r in self.rules] for n in schema.names}, schema=schema)
        facts = {n: getattr(self, n) for n in ("baskets", "mined", "things", "support_min")}
        pq.write_table(table.replace_schema_metadata({b"rules": json.dumps(facts).encode()}), path)
        return path

    @classmethod
    def read(cls, folder: Path) -> Rules:
        """From rules.parquet in this folder. Refused (SourceError): none there."""
        path = folder / RULES_FILE
        if not path.exists():
            raise SourceError(f"expected rules at {path}, found none; run `zhitou features` first")
        table = pq.read_table(path)
        rows = [{**row, "given": tuple(row["given"])} for row in table.to_pylist()]
        return cls(tuple(Rule(**row) for row in rows), **json.loads(table.schema.metadata[b"rules"]))


def build_rules(
    acts: Acts,
    items: ItemTable,
    chance: Chance,
    support_min: float = 0.01,
    lift_min: float = 1.2,
    length_max: int = 3,
    sample_baskets: int = 20_000,
) -> Rules:
    """Rules of up to `length_max` things, one on the right, at or above this support and lift."""
    basket, thing, names, things = _pairs(acts, items)
    baskets = int(basket.max()) + 1 if len(basket) else 0
    frequent = np.bincount(thing, minlength=len(names))
    keep = np.flatnonzero(frequent >= max(support_min * baskets, 2))
    keep = np.sort(keep[np.argsort(-frequent[keep], kind="stable")][:THINGS_MOST])
    if len(keep) < 2:
        return Rules((), baskets, baskets, things, support_min)
    cell = np.full(len(names), -1)
    cell[keep] = np.arange(len(keep))
    known = cell[thing] >= 0
    marks = (np.ones(known.sum(), dtype=np.int32), (basket[known], cell[thing[known]]))
    matrix = sparse.csr_matrix(marks, shape=(baskets, len(keep)))
    sample = _sample(matrix, min(sample_baskets, _MARKS_MOST // len(keep)), chance)
    sets = _frequent_sets(sample, support_min * (EDGE if sample is not matrix else 1.0), length_max)
    counted = _counted(matrix, sets)
    rules = _rules(counted, baskets, support_min, lift_min, [names[i] for i in keep])
    return Rules(rules, baskets, sample.shape[0], things, support_min)


def _pairs(acts: Acts, items: ItemTable) -> tuple[np.ndarray, np.ndarray, list[str], str]:
    """Distinct (basket, thing) of what was bought, baskets counted from 0, and the things' names."""
    known_types = np.count_nonzero(np.bincount(acts.column("type"))[1:])
    if known_types >= TYPES_FEWEST:
        thing, names = acts.column("type"), list(long_names(items.category_names[TYPE_LEVEL]))
    else:
        thing, names = acts.column("item"), [str(title) for title in items.titles]
    bought = acts.column("bought") & ((thing > 0) | (known_types < TYPES_FEWEST))
    _, basket = np.unique(acts.column("basket")[bought], return_inverse=True)
    pair = np.unique(basket.astype(np.int64) * len(names) + thing[bought])
    what = "finest categories" if known_types >= TYPES_FEWEST else "items"
    return pair // len(names), pair % len(names), names, what


def _sample(matrix: sparse.csr_matrix, most: int, chance: Chance) -> sparse.csr_matrix:
    if matrix.shape[0] <= most:
        return matrix
    return matrix[np.sort(chance.stream("rules/sample").choice(matrix.shape[0], most, replace=False))]


def _frequent_sets(matrix: sparse.csr_matrix, support: float, length_max: int) -> list[tuple[int, ...]]:
    frame = pd.DataFrame(matrix.toarray().astype(bool))
    found = fpgrowth(frame, min_support=support, max_len=length_max)
    return sorted(tuple(sorted(s)) for s in found["itemsets"])


def _counted(matrix: sparse.csr_matrix, sets: list[tuple[int, ...]]) -> dict[tuple[int, ...], int]:
    """How many of all baskets hold each set."""
    columns = matrix.tocsc()
    holders = [columns.indices[a:b] for a, b in zip(columns.indptr[:-1], columns.indptr[1:], strict=True)]
    single = np.diff(columns.indptr)
    pairs = (matrix.T @ matrix).toarray()
    marked = np.zeros(matrix.shape[0], dtype=np.int8)
    out = {}
    for things in sets:
        if len(things) <= 2:
            out[things] = int(single[things[0]] if len(things) == 1 else pairs[things])
            continue
        for thing in things:
            marked[holders[thing]] += 1
        out[things] = int(np.count_nonzero(marked == len(things)))
        marked[:] = 0
    return out


def _rules(
    counted: dict[tuple[int, ...], int], baskets: int, support: float, lift: float, names: list[str]
) -> tuple[Rule, ...]:
    frequent = {things: n for things, n in counted.items() if n >= support * baskets}
    if not any(len(things) > 1 for things in frequent):
        return ()
    frame = pd.DataFrame(
        {"support": [n / baskets for n in frequent.values()], "itemsets": list(map(frozenset, frequent))}
    )
    found = association_rules(frame, metric="lift", min_threshold=lift)
    rows = zip(found["antecedents"], found["consequents"], found["confidence"], found["lift"], strict=True)
    rules = []
    for given, then, confidence, times in rows:
        if len(then) == 1:
            left, both = tuple(sorted(given)), frequent[tuple(sorted(given | then))]
            words = tuple(names[i] for i in left)
            rules.append(
                Rule(words, names[min(then)], both / baskets, float(confidence), float(times), both, frequent[left])
            )
    return tuple(sorted(rules, key=lambda r: (-round(r.lift, 9), r.given, r.then)))
