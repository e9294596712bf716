"""Sizes of the interest model, and how it is trained. tiny() is for tests, laptop() for two
cores, careful() for data of one's own."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from zhitou.core.errors import ConfigError
from zhitou.learning.fit import FitConfig
from zhitou.learning.transitions import TransitionConfig


def _fit(epochs: int, patience: int | None) -> FitConfig:
    return FitConfig(epochs=epochs, lr=4e-3, warmup=30, eps=1e-6, average=0.98, patience=patience)


@dataclass(frozen=True)
class InterestConfig:
    """The decoder, its memory of own items, and its training.

    width: of every vector, D. layers, heads: of the decoder. context: steps it looks back over.
    memory: hidden width of the repeat path, 0 for none (where nothing is had twice). groups: whether it also
    remembers types and lines of a brand; without them, and without a memory, training is several times faster.
    min_count: an item seen so often gets an embedding of its own, rarer ones share those of what they are.
    dropout: on token inputs and block outputs. id_dropout: share of items whose own embedding is hidden in a
    training step, so that content alone must do.
    nearby: what came soon after what in others' histories, as a term of the score; None for none.
    nearby_speed: how many times faster than weights its two numbers are learnt; more where training has few steps.
    nearby_later: whether that term is left out of training and joins the predictions only. Then taste learns to
    stand alone and errs in other places than the counts do; trained together, it learns what they leave.
    candidates: the most items that this term speaks of. words: the most words of titles that describe items.
    tied: whether the state itself, and no linear map of it, is held against item vectors. The last item then
    speaks for its like from the first step on, which short histories need.
    first_step: whether the first step of a history is predicted too.
    bfloat16: whether a model without groups is trained with logits of half the bits, where the processor is
    faster so. positions_batch: steps predicted per optimiser step. positions_subject: at the most so many per
    subject and epoch (the later ones more often), so that a heavy shopper does not speak for all.
    size_power, subject_power: a step counts as its number of items to the one, over its subject's steps in the
    batch to the other power. taste_share, popular_share: what query . item and an item's own bias count for in a
    prediction; below one because what is learnt of them is noisy at the head of a ranking. choose_shares: whether
    these two are chosen, on the part held back (interest.shares). valid_share: the last part of the time line, held
    back to choose on, also the number of epochs (0: all are run). refit: whether to train again on everything then.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    context: int = 128
    memory: int = 32
    groups: bool = True
    min_count: int = 8
    dropout: float = 0.1
    id_dropout: float = 0.1
    nearby: TransitionConfig | None = None
    nearby_speed: float = 1.0
    nearby_later: bool = False
    candidates: int = 100
    words: int = 0
    tied: bool = False
    first_step: bool = True
    bfloat16: bool = True
    positions_batch: int = 512
    positions_subject: int = 24
    size_power: float = 0.5
    subject_power: float = 1.0
    taste_share: float = 0.8
    popular_share: float = 1.0
    choose_shares: bool = False
    valid_share: float = 0.1
    refit: bool = True
    fit: FitConfig = field(default_factory=lambda: _fit(12, patience=2))

    @property
    def memories(self) -> int:
        """How many of the memories, of items, of types and of lines, the model has."""
        return (3 if self.groups else 1) if self.memory else 0

    def __post_init__(self) -> None:
        if self.width % (4 * self.heads):
            raise ConfigError(f"width must be a multiple of 4 x heads, got {self.width} and {self.heads}")
        if self.context < 1 or self.min_count < 1 or self.positions_batch < 1:
            raise ConfigError("context, min_count and positions_batch are at least 1")
        if self.memory < 0 or self.words < 0 or self.candidates < 1 or self.nearby_speed <= 0:
            raise ConfigError("memory and words are 0 or more, candidates at least 1, nearby_speed above 0")
        if not 0 <= self.valid_share < 1:
            raise ConfigError(f"valid_share is a share of the time line below 1, got {self.valid_share}")
        if self.choose_shares and not self.valid_share:
            raise ConfigError("shares are chosen on what is held back; give valid_share, e.g. 0.1, or the shares")


def tiny() -> InterestConfig:
    """For tests: seconds on tiny data."""
    return InterestConfig(
        width=16,
        layers=1,
        heads=1,
        context=16,
        memory=8,
        min_count=1,
        positions_batch=64,
        fit=FitConfig(epochs=8, lr=1e-2, warmup=5, patience=None),
    )


def laptop() -> InterestConfig:
    """For the demonstration: a million purchases in about a minute on two cores.

    Two passes were chosen on the weeks before the cut of The Complete Journey (JOURNAL.md); none is held back.
    """
    return InterestConfig(valid_share=0.0, fit=_fit(2, patience=None))


def careful() -> InterestConfig:
    """For behaviour nobody has looked at yet: the number of passes is chosen on its last tenth."""
    return InterestConfig()


def sequences() -> InterestConfig:
    """For many shoppers with short histories and little to have twice: reviews, favourites, rare purchases.

    Chosen on the validation items of Amazon Beauty and Sports (JOURNAL.md).
    """
    return InterestConfig(
        width=128,
        layers=1,
        heads=4,
        context=50,
        memory=0,
        min_count=1,
        dropout=0.5,
        id_dropout=0.0,
        nearby=TransitionConfig(),
        words=20_000,
        tied=True,
        first_step=False,
        positions_batch=1024,
        positions_subject=50,
        size_power=0.0,
        subject_power=0.0,
        taste_share=0.5,
        popular_share=0.5,
        valid_share=0.0,
        fit=FitConfig(epochs=8, lr=3e-3, warmup=100, weight_decay=0.5, average=0.99, patience=None),
    )


def newcomers() -> InterestConfig:
    """As sequences(), for a catalogue that changes: half of the time an item is learnt by what it is alone."""
    return replace(sequences(), id_dropout=0.5, taste_share=1.0, popular_share=1.0)


def visits() -> InterestConfig:
    """For streams of short anonymous visits, where items come back within minutes.

    Chosen on the validation visits of YooChoose: 50,000 clicks in four days.
    """
    return replace(
        sequences(),
        width=64,
        heads=2,
        context=30,
        nearby=TransitionConfig(
            window=50,
            decay=0.5,
            backward=0.8,
            reach=20,
            fade=1.5,
            rarity=0.3,
            row=0.8,
            smooth=30.0,
            own=0.4,
            once=True,
        ),
        nearby_later=True,
        choose_shares=True,
        valid_share=0.1,
        dropout=0.6,
        positions_batch=2048,
        fit=FitConfig(epochs=16, lr=3e-3, warmup=100, weight_decay=1.0, average=0.99, patience=None),
    )


def many_visits() -> InterestConfig:
    """As visits(), where there are hundreds of thousands of clicks: fewer passes, and less held back from learning.

    Chosen on the validation visits of Diginetica: 700,000 clicks.
    """
    few = visits()
    return replace(few, dropout=0.3, fit=replace(few.fit, epochs=6, weight_decay=0.1))


def one_gpu() -> InterestConfig:
    """Wider and deeper, for a machine that has the time."""
    return replace(laptop(), width=256, layers=6, heads=8, context=512, memory=64)
