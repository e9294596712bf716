"""Training the copywriter: lines drawn from the grammar, and a shop's own where there are any, into a small GPT.

What is learnt is saved as safetensors with a manifest that holds the vocabulary, so that a folder is all one needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from zhitou.core.chance import Chance
from zhitou.core.errors import ConfigError
from zhitou.creative.words.ask import ANGLES, ANY, INTERESTS, LOCALES, NEEDS, PLACES, TONES, Ask
from zhitou.creative.words.facts import PROOFS, TRAITS
from zhitou.creative.words.grammar import draw_line, slots_in
from zhitou.creative.words.model import Writer, WriterConfig
from zhitou.creative.words.tokens import HEAD, NEEDS_MOST, PAD, Vocabulary
from zhitou.learning.checkpoints import save_model
from zhitou.learning.fit import FitConfig, fit
from zhitou.learning.progress import Progress

KIND = "zhitou-copywriter/1"
_OFTEN = {"title": 1.0, "category": 0.7, "brand": 0.4, "size": 0.3, "price": 0.8, "was": 0.5, "saving": 0.5}
_PLACE_SHARES = np.array(
    [4, 4, 1, 3, 3, 7], dtype=float
)  # of PLACES: a body is the hardest to learn, a button the least
_TRAIT_OFTEN = 0.5
_PROOF_OFTEN = 0.3


@dataclass(frozen=True)
class CopyTraining:
    """How the copywriter is trained. lines: drawn from the grammar. own_times: how often each of a shop's own lines
    is repeated among them. tokens_batch: the most tokens in a batch of lines of about equal length."""

    lines: int = 24_000
    own_times: int = 20
    tokens_batch: int = 3_072
    model: WriterConfig = field(default_factory=WriterConfig)
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=3, lr=4e-3, warmup=60, patience=None, weight_decay=0.05, betas=(0.9, 0.95)
        )
    )


def tiny() -> CopyTraining:
    """For tests: a few seconds; knows the form of a line, not much more."""
    return CopyTraining(
        lines=400,
        tokens_batch=1_024,
        model=WriterConfig(width=32, layers=1, heads=2, dropout=0.0),
        fit=FitConfig(epochs=4, lr=2e-2, warmup=5, patience=None),
    )


@dataclass(frozen=True)
class Example:
    """One line to learn: what was asked, and the template that answers it."""

    locale: str
    ask: Ask
    template: str


@dataclass(frozen=True)
class CopyReport:
    """What training gave. loss: mean nats per token on the last epoch; held_out: on lines never trained on."""

    folder: Path
    sha256: str
    loss: float
    held_out: float
    seconds: float
    words: int
    parameters: int


def draw_examples(count: int, chance: Chance, purpose: str = "copy-lines") -> list[Example]:
    """Lines of the grammar for made-up rows: which facts there are is drawn, never what they say."""
    rng = chance.stream(purpose)
    shares = _PLACE_SHARES / _PLACE_SHARES.sum()
    found: list[Example] = []
    while len(found) < count:
        slots = _draw_slots(rng)
        place, locale = PLACES[int(rng.choice(len(PLACES), p=shares))], LOCALES[int(rng.integers(len(LOCALES)))]
        angles = [a for a in ANGLES if not NEEDS[a] or any(s in slots for s in NEEDS[a])]
        name = (*INTERESTS, ANY)[int(rng.integers(len(INTERESTS) + 1))]
        first = tuple(s for s in INTERESTS[name].first if s in slots) if name in INTERESTS else ()
        ask = Ask(place, angles[int(rng.integers(len(angles)))], TONES[int(rng.integers(len(TONES)))], name, first)
        template = draw_line(slots, ask, locale, rng)
        if len(slots_in(template)) <= NEEDS_MOST:
            found.append(Example(locale, ask, template))
    return found


def _draw_slots(rng: np.random.Generator) -> set[str]:
    slots = {slot for slot, often in _OFTEN.items() if rng.random() < often}
    slots |= {slot for slot in TRAITS if rng.random() < _TRAIT_OFTEN * rng.random() * 2}
    slots |= {slot for slot in PROOFS if slot not in _OFTEN and rng.random() < _PROOF_OFTEN}
    if "price" not in slots:
        slots -= {"was", "saving"}
    return slots


def train_copywriter(
    folder: Path,
    chance: Chance,
    config: CopyTraining | None = None,
    own: Sequence[Example] = (),
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> CopyReport:
    """Train and save to `folder`; the same seed, config and lines give the same bytes with as many threads.

    own: a shop's own lines with their facts as slots (fill.unfill), to be written like. Refused (ConfigError): own
    lines with a number, currency or percent sign outside their slots.
    """
    config = config or CopyTraining()
    drawn = draw_examples(config.lines, chance)
    vocabulary = Vocabulary.of((e.locale, e.template) for e in (*drawn, *own))
    for example in own:
        if vocabulary.encode(example.template) is None:
            raise ConfigError(f"a line's own words hold no number or price: {example.template!r}; use unfill first")
    rows = _rows([*drawn, *(e for e in own for _ in range(config.own_times))], vocabulary, config.model.tokens_most)
    torch.manual_seed(chance.number("copy-weights") % 2**63)
    writer = Writer(config.model, len(vocabulary.words))
    report = fit(
        writer,
        batches=lambda epoch, rng: _batches(rows, config.tokens_batch, rng),
        loss=line_loss,
        validate=None,
        config=config.fit,
        chance=chance.child("copywriter"),
        folder=checkpoint,
        progress=progress,
    )
    unseen = _rows(draw_examples(400, chance, "copy-held-out"), vocabulary, config.model.tokens_most)
    held_out = held_out_loss(writer, unseen)
    manifest = {
        "kind": KIND, "words": list(vocabulary.words), "locale": vocabulary.locale.tolist(),
        "model": asdict(config.model),
        "lines": len(drawn), "own_lines": len(own), "seed": chance.seed, "held_out_nats": round(held_out, 6),
    }  # fmt: skip
    digest = save_model(folder, {k: v.half() for k, v in writer.state_dict().items()}, manifest)
    count = sum(p.numel() for p in writer.parameters())
    return CopyReport(folder, digest, report.curve[-1].train, held_out, report.seconds, len(vocabulary.words), count)


def _rows(examples: Sequence[Example], vocabulary: Vocabulary, tokens_most: int) -> list[list[int]]:
    rows = []
    for example in examples:
        line = vocabulary.encode(example.template)
        if line is not None and HEAD + len(line) <= tokens_most:
            rows.append([*vocabulary.head(example.ask, example.locale, slots_in(example.template)), *line])
    return rows


def _batches(rows: list[list[int]], tokens_batch: int, rng: np.random.Generator) -> list[Tensor]:
    """Lines of about equal length together, in an order of chance."""
    length = np.array([len(row) for row in rows]) + rng.random(len(rows)) * 4
    batches: list[Tensor] = []
    group: list[list[int]] = []
    for n in np.argsort(length):
        if group and max(len(group[-1]), len(rows[n])) * (len(group) + 1) > tokens_batch:
            batches.append(_padded(group))
            group = []
        group.append(rows[n])
    batches.append(_padded(group))
    return [batches[n] for n in rng.permutation(len(batches))]


def _padded(group: list[list[int]]) -> Tensor:
    sheet = torch.full((len(group), max(map(len, group))), PAD, dtype=torch.int64)
    for n, row in enumerate(group):
        sheet[n, : len(row)] = torch.tensor(row)
    return sheet


def line_loss(module: torch.nn.Module, batch: Tensor) -> Tensor:
    """Mean nats per token of the lines in a batch [B, T]; their heads are given and cost nothing."""
    logits, _ = module(batch[:, :-1])
    target = batch[:, 1:].clone()
    target[:, : HEAD - 1] = PAD
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1), ignore_index=PAD)


def held_out_loss(writer: Writer, rows: list[list[int]]) -> float:
    """Mean nats per token on these rows."""
    with torch.no_grad():
        return float(np.mean([float(line_loss(writer, _padded(rows[n : n + 50]))) for n in range(0, len(rows), 50)]))
