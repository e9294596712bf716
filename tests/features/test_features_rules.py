"""Rules: figures one can count by hand, and the same rules as counting every pair and triple."""

from itertools import combinations

import numpy as np
import pytest

from zhitou.core.chance import Chance
from zhitou.core.errors import SourceError
from zhitou.features.acts import Acts
from zhitou.features.rules import Rules, build_rules

T0 = 1_700_006_400
CUT = T0 + 86_400


def acts_of(make_events, items, baskets):
    rows = [("ann", "purchase", item, T0 + n, f"o{n}") for n, basket in enumerate(baskets) for item in basket]
    return Acts.build(make_events(rows), items, CUT)


@pytest.fixture
def baskets():
    return [("milk", "toast")] * 3 + [("milk",)] * 1 + [("toast", "towel")] * 1 + [("towel",)] * 5


def test_support_confidence_and_lift_are_counted(make_events, items, baskets):
    rules = build_rules(acts_of(make_events, items, baskets), items, Chance(1), support_min=0.2)
    rule = next(r for r in rules.rules if r.given == ("milk",))
    assert rule.then == "toast"
    assert (rule.baskets, rule.given_baskets) == (3, 4)
    assert rule.support == pytest.approx(3 / 10)
    assert rule.confidence == pytest.approx(3 / 4)
    assert rule.lift == pytest.approx((3 / 4) / (4 / 10))
    assert str(rule) == "milk -> toast: 75% of 4 baskets, 1.9 times as often as in all baskets"


def test_the_top_list_says_what_it_rests_on(make_events, items, baskets):
    rules = build_rules(acts_of(make_events, items, baskets), items, Chance(1), support_min=0.2)
    assert rules.top(1)[0] == "2 rules on items in 10 baskets; support of 20.0% or more:"
    assert len(rules.top(1)) == 2


def test_a_sample_is_said_to_be_one_and_its_figures_are_those_of_all_baskets(make_events, items, baskets):
    acts = acts_of(make_events, items, baskets * 40)
    whole = build_rules(acts, items, Chance(1), support_min=0.2)
    sampled = build_rules(acts, items, Chance(1), support_min=0.2, sample_baskets=150)
    assert sampled.mined == 150
    assert "candidates from a sample of 150" in sampled.top()[0]
    assert sampled.rules == whole.rules


def by_counting(baskets, support_min, lift_min):
    n, sets = len(baskets), [set(b) for b in baskets]

    def count(things):
        return sum(set(things) <= basket for basket in sets)

    found = set()
    for size in (2, 3):
        for things in combinations(sorted(set().union(*sets)), size):
            for then in things:
                given = tuple(t for t in things if t != then)
                both = count(things)
                if both and both >= support_min * n and both / count(given) / (count((then,)) / n) >= lift_min:
                    found.add((given, then, both))
    return found


def test_the_rules_are_those_that_counting_everything_finds(make_events, items):
    rng = np.random.default_rng(4)
    names = [str(i) for i in items.ids]
    chances = np.array([0.9, 0.8, 0.5, 0.2, 0.1])
    baskets = []
    for _ in range(200):
        draw = rng.random(5) < np.where(rng.random() < 0.4, chances[::-1], chances)
        baskets.append(tuple(name for name, held in zip(names, draw, strict=True) if held))
    baskets = [b for b in baskets if b]
    rules = build_rules(acts_of(make_events, items, baskets), items, Chance(1), support_min=0.05, lift_min=1.05)
    order = {name: n for n, name in enumerate(names)}
    found = {(tuple(sorted(r.given, key=order.get)), r.then, r.baskets) for r in rules.rules}
    assert len(found) > 10
    assert found == by_counting(baskets, 0.05, 1.05)


def test_nothing_bought_together_is_no_rule_and_no_error(make_events, items):
    alone = build_rules(acts_of(make_events, items, [("milk",), ("toast",)] * 5), items, Chance(1))
    assert alone.rules == ()
    looked = Acts.build(make_events([("ann", "view", "milk", T0)]), items, CUT)
    assert build_rules(looked, items, Chance(1)).rules == ()


def test_rules_come_back_from_disk_as_they_went(make_events, items, baskets, tmp_path):
    rules = build_rules(acts_of(make_events, items, baskets), items, Chance(1), support_min=0.2)
    rules.write(tmp_path)
    assert Rules.read(tmp_path) == rules
    with pytest.raises(SourceError, match="zhitou features"):
        Rules.read(tmp_path / "nowhere")
