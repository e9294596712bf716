import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zhitou.core.errors import ConfigError, MoneyError, SchemaError
from zhitou.strategy.channels import Channel
from zhitou.strategy.plan import Audience, Plan, PlanProblem, Prices, Terms, fatigue_of, message_values
from zhitou.strategy.plan_check import violations
from zhitou.strategy.plan_explain import REASONS, explain, refusals
from zhitou.strategy.plan_solve import SolveConfig, first_come, solve
from zhitou.strategy.plan_table import MESSAGES, diff, messages, summary

NOON_US = 1_782_907_200_000_000  # 2026-07-01T12:00:00Z
SITE, MAIL, PUSH = (
    Channel("onsite", ("ads",), 0, 2, False),
    Channel("email", ("ads", "email"), 10, 1, True),
    Channel("push", ("ads", "push"), 5, 2, True),
)
CHANNELS = (SITE, MAIL, PUSH)


def question(base, *, candidate=None, capacity=100, budget=10**9, hours=None, **more):
    """A problem of three channels and four slots from noon UTC; base: [shoppers][candidates] micros."""
    base = np.atleast_2d(np.asarray(base, dtype=float))
    n, j = base.shape
    camps = more.pop("campaigns", j)
    candidate = np.tile(np.arange(j), (n, 1)) if candidate is None else np.asarray(candidate)
    response = np.asarray(more.pop("response", np.ones((n, 3))), dtype=float)
    consent = np.asarray(more.pop("consent", np.ones((n, 3), dtype=bool)))
    facts = ("zone", "fatigue_micros", "sent_channel", "sent_campaign", "last_slot")
    own = {name: more.pop(name) for name in facts if name in more}
    names = np.asarray([f"s{i}" for i in range(n)], dtype=object)
    audience = Audience.of(names, candidate, base, response, consent, **own)
    hour = np.zeros((1, 1, 24), dtype=np.float32)
    hour[0, 0, 12:16] = (1.0, 0.9, 0.8, 0.7) if hours is None else hours
    usual = {
        "start_us": NOON_US,
        "currency": "EUR",
        "channels": CHANNELS,
        "campaigns": tuple(f"c{i}" for i in range(camps)),
        "ads": tuple(f"a{i}" for i in range(max(j, camps))),
        "ad_campaign": (np.arange(max(j, camps)) % camps).astype(np.int32),
        "hour_response": hour,
        "zones": ("UTC",),
        "quiet_hours": (None,) * camps,
        "open": np.ones((camps, 3, 4), dtype=bool),
        "cost_micros": np.tile([c.cost_micros for c in CHANNELS], (camps, 1)),
        "budget_micros": np.full(camps, budget),
        "capacity": np.broadcast_to(np.asarray(capacity), (3, 4)).astype(np.int64).copy(),
        "campaign_per_day": np.full(camps, 2),
        "per_day": 3,
        "gap_hours": 2,
        "fatigue_growth": 0.0,
    }
    return PlanProblem(audience, Terms(**usual | more))


def sent(plan, problem):
    """(shopper, ad, channel, slot) of each message."""
    names = [c.name for c in problem.terms.channels]
    rows = zip(plan.shopper, plan.ad(problem), plan.channel, plan.slot, strict=True)
    return [(int(n), int(ad), names[k], int(h)) for n, ad, k, h in rows]


def no_rule_is_broken(plan, problem):
    return sum(violations(plan, problem).values()) == 0


def test_each_shopper_gets_his_best_ad_where_and_when_he_answers_best():
    problem = question([[100, 50]], per_day=1, response=[[1.0, 2.0, 1.5]])
    # the mail at noon: 100 x 2.0 x 1.0 - 10; push 100 x 1.5 - 5; the site 100
    assert sent(solve(problem), problem) == [(0, 0, "email", 0)]


def test_a_message_that_costs_more_than_it_brings_is_not_sent():
    problem = question([[9]], consent=[[False, True, False]])
    assert len(solve(problem)) == 0
    assert len(solve(question([[12]], consent=[[False, True, False]]))) == 1


def test_nobody_is_reached_through_what_he_did_not_agree_to():
    problem = question([[100], [100]], consent=[[True, False, False], [False, False, False]])
    plan = solve(problem)
    assert {row[2] for row in sent(plan, problem)} == {"onsite"}
    assert set(plan.shopper.tolist()) == {0}


def test_quiet_hours_are_those_of_the_shoppers_clock_and_bind_only_what_interrupts():
    # 12 to 16 UTC is 21 to 01 in Tokyo, and 17:30 to 21:30 in Kolkata
    zones = ("UTC", "Asia/Tokyo", "Asia/Kolkata")
    problem = question([[100]] * 3, zone=[0, 1, 2], zones=zones, quiet_hours=((21, 8),), hours=np.ones(4))
    problem = replace(problem, terms=replace(problem.terms, hour_response=np.ones((1, 1, 24), dtype=np.float32)))
    rows = sent(solve(problem), problem)
    assert {row[2] for row in rows if row[0] == 1} == {"onsite"}
    # slot 3 is 20:30 to 21:30 in Kolkata: half of it is quiet
    assert {row[3] for row in rows if row[0] == 2 and row[2] != "onsite"} <= {0, 1, 2}
    assert no_rule_is_broken(solve(problem), problem)


def test_caps_hold_in_all_by_channel_and_by_campaign():
    problem = question([[100, 90, 80]], per_day=2)
    assert len(solve(problem)) == 2
    problem = question([[100, 90, 80]], per_day=8, gap_hours=0, campaign_per_day=np.array([1, 1, 1]))
    assert sorted(row[1] for row in sent(solve(problem), problem)) == [0, 1, 2]
    problem = question([[100]], per_day=8, gap_hours=0, campaign_per_day=np.array([8]))
    counts = [row[2] for row in sent(solve(problem), problem)]
    assert (counts.count("onsite"), counts.count("email"), counts.count("push")) == (2, 1, 2)


def test_messages_of_this_morning_count():
    problem = question([[100]], sent_channel=[[2, 1, 0]])
    assert len(solve(problem)) == 0  # three a day, two seen on the site and one mail
    problem = question([[100, 50]], per_day=8, sent_campaign=[[2, 0]])
    assert {row[1] for row in sent(solve(problem), problem)} == {1}
    problem = question([[100]], last_slot=[-1], gap_hours=3, consent=[[False, True, False]])
    assert sent(solve(problem), problem) == [(0, 0, "email", 2)]


def test_what_interrupts_keeps_its_distance():
    problem = question([[100, 90]], per_day=3, gap_hours=2, consent=[[False, True, True]])
    times = sorted(row[3] for row in sent(solve(problem), problem))
    assert times == [0, 2]  # 2 hours between, so a third does not fit before slot 4


def test_a_full_slot_goes_to_whom_it_is_worth_most():
    mails = [[False, True, False]] * 3
    problem = question([[100], [300], [200]], consent=mails, capacity=1, hours=(1.0, 0.1, 0.0, 0.0))
    rows = sent(solve(problem), problem)
    assert (1, 0, "email", 0) in rows
    assert (2, 0, "email", 1) in rows  # 200 x 0.1 - 10 is still worth it, 100 x 0.1 - 10 is not
    assert len(rows) == 2


def test_a_budget_is_spent_where_it_brings_most_and_never_exceeded():
    problem = question([[v] for v in (40, 30, 50, 20)], consent=[[False, True, False]] * 4, budget=25)
    plan = solve(problem)
    assert sorted(plan.shopper.tolist()) == [0, 2]
    assert plan.spend_micros(problem).tolist() == [20]


def test_an_ad_of_an_empty_budget_stays_home_while_the_site_costs_nothing():
    problem = question([[100]], budget=0)
    assert {row[2] for row in sent(solve(problem), problem)} == {"onsite"}


def test_the_second_message_of_a_day_must_outweigh_the_fatigue_it_adds():
    alone = question([[100]], consent=[[True, False, False]], fatigue_micros=60, fatigue_growth=1.0)
    assert len(solve(alone)) == 1  # the second: 100 x 0.9 against 60 x 2
    assert solve(alone).total_micros == pytest.approx(100 - 60)


def test_a_block_of_values_is_taken_as_it_is():
    value = np.zeros((1, 1, 3, 4), dtype=np.float32)
    value[0, 0, 2, 3] = 50.0
    problem = question([[1.0]])
    problem = PlanProblem(replace(problem.audience, value_micros=value), problem.terms)
    plan = solve(problem)
    assert sent(plan, problem) == [(0, 0, "push", 3)]
    assert plan.total_micros == 45.0


def best_by_trying(problem):
    """The most that any plan is worth: all sets of each shopper, all combinations of them."""
    a, t = problem.audience, problem.terms
    (n, j), (k, h) = a.candidate.shape, t.capacity.shape
    cells = list(itertools.product(range(j), range(k), range(h)))
    free = Prices(np.zeros((k, h)), np.zeros(len(t.campaigns)))

    def plan_of(rows):
        columns = np.asarray(rows, dtype=int).reshape(-1, 4).T
        return Plan.of(problem, *columns, prices=free, bound_micros=0.0, unproven=0)

    sets = []
    for shopper in range(n):
        some = [s for size in range(t.per_day + 1) for s in itertools.combinations(cells, size)]
        plans = [plan_of([(shopper, *cell) for cell in s]) for s in some]
        sets.append([p for p in plans if no_rule_is_broken(p, problem) and (p.total_micros > 0 or not len(p))])
    best = 0.0
    for combination in itertools.product(*sets):
        total = sum(p.total_micros for p in combination)
        if total > best:
            joined = [row for p in combination for row in zip(p.shopper, p.place, p.channel, p.slot, strict=True)]
            if no_rule_is_broken(plan_of(joined), problem):
                best = total
    return best


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**31))
def test_alone_a_shopper_gets_exactly_the_best_set_there_is(seed):
    rng = np.random.default_rng(seed)
    problem = question(
        rng.lognormal(4, 0.4, (1, 2)),
        candidate=rng.integers(0, 2, (1, 2)),
        response=rng.uniform(0.8, 1.2, (1, 3)),
        consent=rng.random((1, 3)) < 0.8,
        per_day=int(rng.integers(1, 4)),
        gap_hours=int(rng.integers(0, 4)),
        campaign_per_day=rng.integers(1, 3, 2),
        fatigue_micros=float(rng.uniform(0, 20)),
        fatigue_growth=float(rng.uniform(0, 2)),
        open=rng.random((2, 3, 4)) < 0.5,
    )
    plan = solve(problem)
    assert plan.unproven == 0
    assert plan.total_micros == pytest.approx(best_by_trying(problem))
    assert plan.bound_micros == pytest.approx(plan.total_micros, rel=1e-6)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31))
def test_no_plan_is_worth_more_than_the_bound(seed):
    rng = np.random.default_rng(seed)
    opened = rng.random((1, 3, 4)) < 0.3
    problem = question(rng.lognormal(4, 1, (3, 1)), capacity=1, budget=12, per_day=2, open=opened)
    plan = solve(problem)
    best = best_by_trying(problem)
    assert plan.total_micros <= best + 1e-9
    assert best <= plan.bound_micros * (1 + 1e-9)


def crowd(n, seed=1, tight=0.1):
    """Shoppers enough that slots and budgets bind."""
    rng = np.random.default_rng(seed)
    return question(
        rng.lognormal(6, 1, (n, 3)),
        campaigns=5,
        candidate=rng.integers(0, 5, (n, 3)),
        response=rng.gamma(4, 0.25, (n, 3)),
        consent=rng.random((n, 3)) < 0.7,
        zone=rng.integers(0, 2, n),
        zones=("Europe/London", "Asia/Kolkata"),
        quiet_hours=((20, 8), (21, 8), None, (20, 9), None),
        hour_response=rng.uniform(0.5, 1.5, (1, 3, 24)).astype(np.float32),
        capacity=max(1, int(tight * n)),
        budget=int(n * 0.5),
        fatigue_micros=rng.gamma(2, 20, n),
        fatigue_growth=1.0,
        campaign_per_day=np.ones(5, dtype=int),
        sent_channel=rng.random((n, 3)) < 0.1,
        last_slot=rng.integers(-3, 0, n),
    )


def test_a_crowd_is_planned_near_the_bound_and_no_rule_is_broken():
    problem = crowd(3_000)
    plan = solve(problem)
    assert no_rule_is_broken(plan, problem)
    assert plan.bound_gap < 0.01
    assert plan.unproven == 0
    assert (plan.usage(problem) == problem.terms.capacity).any()
    assert first_come(problem).total_micros < 0.9 * plan.total_micros
    assert no_rule_is_broken(first_come(problem), problem)


def test_prices_of_samples_serve_everybody_and_threads_change_nothing():
    problem = crowd(17_000, seed=2)  # more than one block of a thread
    few = SolveConfig(stages=((500, 40), (4_000, 8)), full_steps=2)
    plan, twin = solve(problem, few), solve(problem, replace(few, threads=2))
    assert plan.bound_gap < 0.02
    assert no_rule_is_broken(plan, problem)
    assert plan.total_micros == twin.total_micros
    assert messages(plan, problem).equals(messages(twin, problem))


def test_the_checker_sees_every_broken_rule():
    problem = crowd(400)
    plan = solve(problem)

    def broken(**changes):
        return violations(plan, replace(problem, terms=replace(problem.terms, **changes)))

    assert broken(capacity=problem.terms.capacity * 0)["capacity"] > 0
    assert broken(budget_micros=problem.terms.budget_micros * 0)["budget"] > 0
    assert broken(per_day=1)["per_day"] > 0
    assert broken(gap_hours=24)["gap"] > 0
    assert broken(quiet_hours=((0, 23),) * 5)["quiet_hours"] > 0
    assert broken(open=~problem.terms.open)["closed"] == len(plan)
    assert broken(campaign_per_day=np.zeros(5, dtype=int))["campaign_cap"] > 0
    assert broken(cost_micros=problem.terms.cost_micros + 1)["cost"] == len(plan)
    assert broken(channels=tuple(replace(c, per_day=0) for c in CHANNELS))["channel_cap"] > 0
    nobody = replace(problem.audience, consent=np.zeros((400, 3), dtype=bool))
    assert violations(plan, PlanProblem(nobody, problem.terms))["consent"] == len(plan)
    nothing = replace(problem.audience, candidate=np.full((400, 3), -1, dtype=np.int32))
    assert violations(plan, PlanProblem(nothing, problem.terms))["candidate"] == len(plan)
    twice = replace(plan, **{f: np.repeat(getattr(plan, f), 2) for f in ("shopper", "place", "channel", "slot")},
                    cost_micros=np.repeat(plan.cost_micros, 2))  # fmt: skip
    assert violations(twice, problem)["same_slot"] > 0


def test_value_costs_and_fatigue_add_up_to_the_total():
    problem = crowd(500)
    plan = solve(problem)
    value = message_values(problem, plan.shopper, plan.place, plan.channel, plan.slot).sum()
    number = messages(plan, problem)["number"].to_numpy()
    fatigue = fatigue_of(problem.audience, 1.0, plan.shopper, number).sum()
    assert plan.total_micros == pytest.approx(value - plan.cost_micros.sum() - fatigue)


def test_every_alternative_ends_under_one_reason_and_explanations_agree_with_the_counts():
    problem = crowd(60)
    plan = solve(problem)
    counted = refusals(plan, problem)
    assert sum(counted.values()) == 60 * 3 * 3 * 4
    assert counted["sent"] == len(plan)
    told = [line for row in range(60) for line in explain(plan, problem, row, every_slot=True)]
    for name, _ in REASONS:
        assert counted[name] == sum(line.reason == name for line in told)


def reason_of(problem, channel, slot=0, ad="a0", row=0):
    lines = explain(solve(problem), problem, row, every_slot=True)
    return next(line.reason for line in lines if (line.ad, line.channel, line.slot) == (ad, channel, slot))


def test_a_refusal_names_its_reason():
    assert reason_of(question([[100]], consent=[[True, False, True]]), "email") == "consent"
    assert reason_of(question([[100]], quiet_hours=((12, 13),)), "email") == "quiet_hours"
    assert reason_of(question([[100]], quiet_hours=((12, 13),)), "onsite") == "sent"
    assert reason_of(question([[100]], open=np.zeros((1, 3, 4), dtype=bool)), "onsite") == "closed"
    assert reason_of(question([[100]], sent_channel=[[0, 1, 0]]), "email") == "sent_today"
    assert reason_of(question([[4]]), "push") == "not_worth"
    assert reason_of(question([[100]], per_day=1), "push") == "cap"
    near = question([[100, 90]], consent=[[False, True, True]], campaign_per_day=np.array([1, 1]), gap_hours=4)
    assert reason_of(near, "email", ad="a1") == "gap"
    mails = {"consent": [[False, True, False]] * 2}
    assert reason_of(question([[300], [100]], capacity=1, hours=(1, 0, 0, 0), **mails), "email", row=1) == "outbid"
    assert reason_of(question([[300], [100]], budget=10, **mails), "email", row=1) in ("budget", "spent")
    tired = question([[100]], consent=[[True, False, False]], fatigue_micros=60, fatigue_growth=1.0)
    assert reason_of(tired, "onsite", slot=1) == "fatigue"


def test_the_same_question_gives_the_same_bytes_and_another_one_another_digest():
    problem = crowd(300)
    plan, twin = solve(problem), solve(crowd(300))
    assert messages(plan, problem).equals(messages(twin, problem))
    assert summary(plan, problem) == summary(twin, problem)
    assert plan.digest == twin.digest != crowd(300, seed=3).digest()


def test_a_plan_is_told_as_a_table_in_whole_micros():
    problem = question([[100]], per_day=1, response=[[1.0, 2.0, 1.5]], fatigue_micros=3)
    table = messages(solve(problem), problem)
    assert table.schema == MESSAGES
    (row,) = table.to_pylist()
    assert (row["subject"], row["ad"], row["campaign"], row["channel"]) == ("s0", "a0", "c0", "email")
    assert (row["value_micros"], row["cost_micros"], row["fatigue_micros"], row["number"]) == (200, 10, 3, 1)
    assert (row["send_from"].hour, row["local_hour"], row["currency"]) == (12, 12, "EUR")


def test_a_diff_counts_shoppers_and_the_money_that_moved():
    problem = question([[100], [200], [300]], consent=[[False, True, False]] * 3, per_day=1)
    less = question([[100], [200], [300]], consent=[[False, True, False]] * 3, per_day=1, budget=20)
    found = diff(messages(solve(problem), problem), messages(solve(less), less))
    assert (found.same, found.changed, found.only_before, found.only_after) == (2, 0, 1, 0)
    assert found.channels["email"].messages == (3, 2)
    assert found.channels["email"].cost_micros == (30, 20)
    assert found.campaigns["c0"].value_micros == (600, 500)
    assert found.changes.to_pylist()[0]["change"] == "removed"
    same = diff(messages(solve(problem), problem), messages(solve(problem), problem))
    assert (same.same, len(same.changes)) == (3, 0)


def test_plans_that_cannot_be_compared_are_refused():
    problem = question([[100]])
    table = messages(solve(problem), problem)
    dollars = replace(problem, terms=replace(problem.terms, currency="USD"))
    with pytest.raises(MoneyError, match="EUR, USD"):
        diff(table, messages(solve(dollars), dollars))
    with pytest.raises(SchemaError, match="columns"):
        diff(table, pa.table({"subject": ["s0"]}))


def test_a_sample_keeps_the_tightness_of_the_whole():
    problem = crowd(100)
    half = problem.sample(np.arange(50))
    assert len(half) == 50
    assert (half.terms.capacity * 2 == problem.terms.capacity).all()
    assert (half.terms.budget_micros * 2 == problem.terms.budget_micros).all()


def test_questions_that_make_no_sense_are_refused():
    problem = question([[100]])

    def terms(**changes):
        return PlanProblem(problem.audience, replace(problem.terms, **changes))

    with pytest.raises(ConfigError, match="per_day"):
        terms(per_day=0)
    with pytest.raises(ConfigError, match="whole numbers"):
        terms(capacity=np.full((3, 4), 0.5))
    with pytest.raises(ConfigError, match="whole numbers"):
        terms(budget_micros=np.array([-1]))
    with pytest.raises(ConfigError, match="slots"):
        terms(capacity=np.ones((3, 25), dtype=int), open=np.ones((1, 3, 25), dtype=bool))
    with pytest.raises(SchemaError, match="shape"):
        terms(open=np.ones((1, 3, 5), dtype=bool))
    with pytest.raises(SchemaError, match="finite"):
        PlanProblem(replace(problem.audience, base_micros=np.full((1, 1), np.nan, dtype=np.float32)), problem.terms)
    with pytest.raises(SchemaError, match="candidate"):
        PlanProblem(replace(problem.audience, candidate=np.full((1, 1), 7, dtype=np.int32)), problem.terms)
    with pytest.raises(ConfigError, match="threads"):
        SolveConfig(threads=0)


def test_an_audience_of_nobody_gets_an_empty_plan():
    problem = question(np.zeros((0, 1)), consent=np.zeros((0, 3), dtype=bool), response=np.zeros((0, 3)))
    plan = solve(problem)
    assert len(plan) == 0
    assert plan.bound_gap == 0.0
