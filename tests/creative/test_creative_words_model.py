"""The small language model: it keeps to its constraints whatever it has learnt, and learns a shop's own lines."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zhitou.campaign.campaign import Material
from zhitou.catalog.item import Item
from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError, ModelError
from zhitou.creative.words.ask import LOCALES, PLACES, Ask, ask_for
from zhitou.creative.words.authors import ModelAuthor, Wanted
from zhitou.creative.words.decode import LanguageModel, Plan
from zhitou.creative.words.facts import facts_of
from zhitou.creative.words.grammar import slots_in
from zhitou.creative.words.model import Writer, WriterConfig
from zhitou.creative.words.tokens import HEAD, NEEDS_MOST, Vocabulary, join, split
from zhitou.creative.words.train import Example, draw_examples, tiny, train_copywriter
from zhitou.creative.words.verify import check_text
from zhitou.creative.words.write import Copywriter

SHOP = Material("Fresh Market", "Fresh Market", "#1f7a4d")
MUG = Item(
    "m1", "Blue Mug", ("kitchen", "cups"), "Claywell", 8_000_000, "USD", attributes='{"material": "stoneware"}'
)
FACTS = facts_of(MUG, SHOP, "en")
COAT = facts_of(
    Item("c", "外套", ("服装",), None, None, "CNY", locale="zh", attributes='{"颜色": "白色"}'), SHOP, "zh"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    """Learnt from four hundred lines of the grammar: knows a little."""
    folder = tmp_path_factory.mktemp("copywriter")
    report = train_copywriter(folder, Chance(1), tiny())
    assert report.held_out < np.log(report.words)  # better than any word with equal chance
    return LanguageModel.load(folder)


def untrained() -> LanguageModel:
    """Weights of chance: writes nonsense, and must keep to the constraints all the same."""
    vocabulary = Vocabulary.of((e.locale, e.template) for e in draw_examples(50, Chance(2)))
    torch.manual_seed(0)
    return LanguageModel(
        Writer(WriterConfig(width=16, layers=1, heads=1), len(vocabulary.words)).eval(), vocabulary, ""
    )


def test_a_template_comes_back_from_its_tokens() -> None:
    examples = draw_examples(400, Chance(3))
    vocabulary = Vocabulary.of((e.locale, e.template) for e in examples)
    for example in examples:
        tokens = vocabulary.encode(example.template)
        assert tokens is not None
        assert vocabulary.decode(tokens, example.locale) == join(split(example.template), example.locale)


def test_the_model_has_no_token_with_a_number_or_a_currency() -> None:
    vocabulary = Vocabulary.of([("en", "Now 50% off {title}"), ("zh", "{title}仅￥9")])
    texts = vocabulary.words[vocabulary.first_text :]
    assert not [word for word in texts if re.search(r"[\d$€£¥￥%]", word)]
    assert vocabulary.encode("Now 50% off {title}") is None


def test_a_head_is_always_as_long_and_too_many_facts_are_refused() -> None:
    vocabulary = Vocabulary.of([])
    ask = Ask("body", "benefit", "warm")
    assert len(vocabulary.head(ask, "en", ())) == len(vocabulary.head(ask, "zh", ("title", "price"))) == HEAD
    with pytest.raises(ModelError, match=str(NEEDS_MOST)):
        vocabulary.head(ask, "en", ("title",) * (NEEDS_MOST + 1))


@pytest.mark.parametrize("source", ["trained", "untrained"])
def test_every_line_names_what_it_must_in_order_and_nothing_else(model: LanguageModel, source: str) -> None:
    writing = model if source == "trained" else untrained()
    needs, texts = ("title", "material", "price"), ("Blue Mug", "stoneware", "$8.00")
    plans = [Plan(Ask("body", "price", "plain"), LOCALES[n % 2], needs, texts) for n in range(40)]
    written = [line for line in writing.write(plans, np.random.default_rng(0)) if line]
    assert all(slots_in(line) == needs for line in written)
    assert not any(re.search(r"[\d$€£¥%]", line) for line in written)
    if source == "trained":
        assert len(written) >= 5


def test_a_line_is_of_one_language(model: LanguageModel) -> None:
    plans = [
        Plan(Ask("headline", "benefit", "plain"), locale, ("title",), ("x",)) for locale in LOCALES for _ in range(20)
    ]
    for plan, line in zip(plans, model.write(plans, np.random.default_rng(1)), strict=True):
        words = re.sub(r"{\w+}", "", line or "")
        assert not re.search(r"[\u4e00-\u9fff]" if plan.locale == "en" else r"[A-Za-z]", words)


def test_no_line_is_wider_than_it_may_be(model: LanguageModel) -> None:
    def measure(text: str) -> float:
        return 6.0 * len(text)

    for width in (60.0, 120.0, 240.0):
        ask = Ask("headline", "benefit", "plain", width_pixels=width)
        plans = [Plan(ask, "en", ("title",), ("Blue Mug",))] * 30
        for line in model.write(plans, np.random.default_rng(2), measure=measure):
            assert line is None or measure(line.replace("{title}", "Blue Mug")) <= width


@pytest.mark.parametrize("facts", [FACTS, COAT])
def test_what_the_model_writes_passes_or_is_replaced(model: LanguageModel, facts: object) -> None:
    assert isinstance(facts, type(FACTS))
    rng = np.random.default_rng(4)
    wanted = [Wanted(facts, ask_for(facts, PLACES[n % 6], "look", rng)) for n in range(60)]
    for text in Copywriter(ModelAuthor(model)).write(wanted, rng):
        assert text is not None
        assert check_text(text.text, text.ask.place, facts) == []


def test_the_same_seed_gives_the_same_weights_and_words(tmp_path: Path) -> None:
    config = replace(tiny(), lines=150, fit=replace(tiny().fit, epochs=1))
    one, two = (train_copywriter(tmp_path / name, Chance(5), config) for name in ("one", "two"))
    assert one.sha256 == two.sha256
    other = train_copywriter(tmp_path / "three", Chance(6), config)
    assert other.sha256 != one.sha256
    plans = [Plan(Ask("headline", "benefit", "plain"), "en", ("title",), ("x",))] * 5
    first, second = (
        LanguageModel.load(tmp_path / name).write(plans, np.random.default_rng(0)) for name in ("one", "two")
    )
    assert first == second


def test_a_shops_own_lines_are_learnt(tmp_path: Path) -> None:
    ask = Ask("headline", "benefit", "warm")
    own = [Example("en", ask, "Tea time with {title}"), Example("en", ask, "Kettle on, {title} out")]
    config = replace(tiny(), lines=60, own_times=150, fit=replace(tiny().fit, epochs=6))
    train_copywriter(tmp_path, Chance(7), config, own=own)
    plans = [Plan(ask, "en", ("title",), ("Blue Mug",))] * 30
    written = LanguageModel.load(tmp_path).write(plans, np.random.default_rng(0))
    assert sum(line in {e.template for e in own} for line in written) > 15


def test_a_shops_own_line_with_a_number_is_refused(tmp_path: Path) -> None:
    own = [Example("en", Ask("headline", "price", "plain"), "{title} for 9 dollars")]
    with pytest.raises(ConfigError, match="unfill"):
        train_copywriter(tmp_path, Chance(1), replace(tiny(), lines=50), own=own)


def test_a_folder_with_another_model_or_altered_bytes_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    from zhitou.learning.checkpoints import save_model

    save_model(tmp_path / "other", {"x": np.zeros(1)}, {"kind": "something"})
    with pytest.raises(ModelError, match="something"):
        LanguageModel.load(tmp_path / "other")
    with pytest.raises(ModelError, match="train"):
        LanguageModel.load(tmp_path / "none")


def test_a_cache_gives_the_logits_of_the_whole() -> None:
    writer = untrained().writer
    tokens = torch.randint(0, 50, (2, 8))
    whole, _ = writer(tokens)
    _, cache = writer(tokens[:, :5])
    step: Callable[..., tuple[torch.Tensor, object]] = writer
    logits = []
    for n in range(5, 8):
        out, cache = step(tokens[:, n : n + 1], cache)
        logits.append(out)
    assert torch.allclose(torch.cat(logits, 1), whole[:, 5:], atol=1e-4)
