"""The data sets of bench/interest.py, each with its protocol, its metrics and the one that settings are chosen by.

beauty, sports: leave-one-out over the S3-Rec files; strict and refit. diginetica: published test prefixes, the last
tenth of the training visits for choosing. yoochoose: visits that begin on the last day are asked after each click;
everything before is learnt from, and the day before is for choosing. journey: The Complete Journey, cut 56 days
before its last purchase (bench/next_basket.py), the 56 days before that for choosing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from zhitou.catalog.table import ItemTable
from zhitou.core.chance import Chance
from zhitou.core.clock import SystemClock
from zhitou.core.units import SECONDS_PER_DAY
from zhitou.evaluation.next_basket import next_basket
from zhitou.evaluation.next_item import (
    NextItem,
    Questions,
    first_baskets,
    global_time,
    leave_one_out,
    numbered,
    one_each,
    session_prefixes,
)
from zhitou.events.clean import PrepareConfig
from zhitou.events.histories import Histories
from zhitou.events.prepare import prepare
from zhitou.events.sources.complete_journey import read_complete_journey
from zhitou.events.sources.public import read_diginetica_test, read_public
from zhitou.privacy.consent import PURPOSES, ConsentBook
from zhitou.privacy.door import Door
from zhitou.privacy.pseudonyms import Pseudonyms, demonstration_key

PUBLIC = {
    "beauty": "amazon_beauty",
    "sports": "amazon_sports",
    "diginetica": "diginetica",
    "yoochoose": "yoochoose_100k",
}
NAMES = (*PUBLIC, "journey")
BASKET_S = 56 * SECONDS_PER_DAY
K = 20  # the longest ranking that a metric here looks at
P20, MRR20 = {"p_at_20": "hr@20"}, {"mrr_at_20": "mrr@20"}
AT_10 = {"hr_at_10": "hr@10", "ndcg_at_10": "ndcg@10"}


@dataclass(frozen=True)
class Data:
    """One data set under its protocol. metrics: name of the figure -> name in `next_item.figures`; main: the figure
    that settings are chosen by. tests: the questions of the figures by prefix ("" and, for the journey, "new_").
    cut_s: Unix seconds at which the test questions are asked; None: right after each history's last event. timed:
    whether times mean more than an order inside one history. ways: of training, the keys of protocol.learn."""

    name: str
    items: ItemTable
    protocol: NextItem
    metrics: Mapping[str, str]
    main: str
    tests: Mapping[str, Questions]
    cut_s: int | None = None
    timed: bool = True
    ways: tuple[str, ...] = field(default=("all",))

    def learn(self, refit: bool) -> Histories:
        """What a final model learns from. refit: with the validation targets; no difference but in leave-one-out."""
        return self.protocol.learn[self.ways[-1] if refit else self.ways[0]]


def read(name: str, quick: bool = False) -> Data:
    """This data set; quick: a quarter of its subjects. Refused (SourceError): files that are not there."""
    histories, items = prepared(name)
    if quick:
        histories = histories.select(np.arange(0, len(histories), 4))
    if name in ("beauty", "sports"):
        return _reviews(name, histories, items)
    if name == "diginetica":
        return _diginetica(histories, items, quick)
    return _yoochoose(histories, items) if name == "yoochoose" else _journey(histories, items)


def prepared(name: str) -> tuple[Histories, ItemTable]:
    """Histories and catalogue, through the same preparation as any shop's data, in a temporary folder."""
    raw = read_public(PUBLIC[name]) if name in PUBLIC else read_complete_journey()
    with tempfile.TemporaryDirectory() as made:
        folder, names = Path(made), Pseudonyms("bench", demonstration_key(Chance(0)))
        prepare(raw, folder, names, PrepareConfig(), SystemClock().now_us())
        items = ItemTable.from_arrow(pq.read_table(folder / "items.parquet"))
        events = Door(folder, ConsentBook(PURPOSES), SystemClock()).read("profile")
        return Histories.from_arrow(events, items), items


def _reviews(name: str, histories: Histories, items: ItemTable) -> Data:
    protocol = leave_one_out(histories)
    metrics = {"hr_at_5": "hr@5", "ndcg_at_5": "ndcg@5", **AT_10}
    tests = {"": protocol.test}
    return Data(name, items, protocol, metrics, "ndcg_at_10", tests, timed=False, ways=("strict", "refit"))


def _diginetica(histories: Histories, items: ItemTable, quick: bool) -> Data:
    asked = read_diginetica_test()
    test = visit_questions(asked[: len(asked) // 10] if quick else asked, items)
    protocol = session_prefixes(histories, test)
    return Data("diginetica", items, protocol, {**P20, **MRR20, **AT_10}, "mrr_at_20", {"": test})


def visit_questions(asked: list[tuple[list[str], str]], items: ItemTable) -> Questions:
    """Prefixes and next items as questions; a visit's stand together, each prefix one shorter than the one before."""
    lengths = np.asarray([len(prefix) for prefix, _ in asked])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    item = items.find(np.asarray([item for prefix, _ in asked for item in prefix], dtype=object))
    place = np.arange(len(item)) - np.repeat(offsets[:-1], lengths)
    same = [before[:-1] == prefix for (before, _), (prefix, _) in pairwise(asked)]
    past = Histories(
        subjects=numbered(len(asked)),
        offsets=offsets,
        item=item,
        action=np.zeros(len(item), dtype=np.int8),
        time_s=place * 60,
        step=place.astype(np.int32),
        price_micros=np.full(len(item), -1, dtype=np.int64),
        quantity=np.ones(len(item), dtype=np.int64),
    )
    target = items.find(np.asarray([target for _, target in asked], dtype=object))
    cluster = np.cumsum(np.concatenate([[0], ~np.asarray(same, dtype=bool)]))
    return Questions(past, one_each(target), cluster, exclude_seen=False)


def _yoochoose(histories: Histories, items: ItemTable) -> Data:
    cut_s = int(histories.time_s.max()) - SECONDS_PER_DAY
    protocol = global_time(histories, cut_s, SECONDS_PER_DAY)
    return Data("yoochoose", items, protocol, {**P20, **MRR20, **AT_10}, "mrr_at_20", {"": protocol.test})


def _journey(histories: Histories, items: ItemTable) -> Data:
    cut_s = int(histories.time_s.max()) - BASKET_S
    past, task = histories.before(cut_s), next_basket(histories, cut_s)
    earlier = next_basket(past, cut_s - BASKET_S)
    tests = {"": first_baskets(task, new=False), "new_": first_baskets(task, new=True)}
    valid = first_baskets(earlier, new=False)
    protocol = NextItem(past.before(cut_s - BASKET_S), valid, {"all": past}, tests[""])
    metrics = {"recall_at_10": "recall@10", "ndcg_at_10": "ndcg@10"}
    return Data("journey", items, protocol, metrics, "ndcg_at_10", tests, cut_s=cut_s)


def sampled(questions: Questions, most: int, chance: Chance) -> Questions:
    """At most so many of these questions, drawn once."""
    rows = chance.stream("bench-valid").permutation(len(questions))[:most]
    return questions.select(np.sort(rows))
