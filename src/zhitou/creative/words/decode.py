"""Writing with the model under constraints: what it may not say it has no way to say.

At each token: only words of the text's language; only the next of the slots to name, in the order asked; the end only
once all are named; nothing that would leave too few pixels for the facts still to come. A token that the model by
itself would hardly have written, though the constraints leave no other, ends the attempt: a line squeezed into its
box is not a good line.

B = lines in a batch, V = words known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zhitou.core.errors import ModelError
from zhitou.creative.words.ask import LOCALES, Ask
from zhitou.creative.words.model import Writer, WriterConfig
from zhitou.creative.words.tokens import END, HEAD, Vocabulary
from zhitou.learning.checkpoints import load_model

KIND = "zhitou-copywriter/1"
LEAST = 3e-3  # a token rarer than this, by the unconstrained model, was forced and ends the attempt
Measure = Callable[[str], float]  # text -> pixels on one line


@dataclass(frozen=True)
class Plan:
    """One line to write: the ask, its language, and the slots to name in their order with their texts."""

    ask: Ask
    locale: str
    needs: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class LanguageModel:
    """A trained copywriter. sha256: of the manifest it was loaded from."""

    writer: Writer
    vocabulary: Vocabulary
    sha256: str

    @classmethod
    def load(cls, folder: Path) -> LanguageModel:
        """As `train_copywriter` saved it. Refused (ModelError): an altered folder, or one of another model."""
        tensors, manifest = load_model(folder)
        if manifest.get("kind") != KIND:
            raise ModelError(f"expected a copywriter at {folder}, found {manifest.get('kind')!r}; train one first")
        vocabulary = Vocabulary(tuple(manifest["words"]), np.asarray(manifest["locale"], dtype=np.int8))
        writer = Writer(WriterConfig(**manifest["model"]), len(vocabulary.words))
        writer.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
        return cls(writer.eval(), vocabulary, str(manifest["sha256"]))

    def write(
        self, plans: Sequence[Plan], rng: np.random.Generator, warmth: float = 1.0, measure: Measure | None = None
    ) -> list[str | None]:
        """A template for each plan; None where the model found no way that keeps to it.

        warmth: temperature of the draws; 1 is the model's own. measure: needed where an ask has width_pixels.
        """
        if not plans:
            return []
        with torch.no_grad():
            rows = _Rows(self, plans, measure)
            heads = [self.vocabulary.head(p.ask, p.locale, p.needs) for p in plans]
            logits, cache = self.writer(torch.tensor(heads))
            for _ in range(self.writer.config.tokens_most - HEAD):
                chosen = rows.choose(logits[:, -1], rng, warmth)
                if rows.done.all():
                    break
                logits, cache = self.writer(chosen[:, None], cache)
        return rows.templates()


class _Rows:
    """Where B lines stand while they are written."""

    def __init__(self, model: LanguageModel, plans: Sequence[Plan], measure: Measure | None) -> None:
        self.plans, self.vocabulary = plans, model.vocabulary
        v = len(self.vocabulary.words)
        own = torch.zeros(len(LOCALES), v, dtype=torch.bool)
        where = torch.from_numpy(self.vocabulary.locale.astype(np.int64))
        for n in range(len(LOCALES)):
            own[n, self.vocabulary.first_text :] = ((where == 0) | (where == 1 + n))[self.vocabulary.first_text :]
        self.allowed = own[torch.tensor([LOCALES.index(p.locale) for p in plans])]
        self.named = [0] * len(plans)
        self.done = np.zeros(len(plans), dtype=bool)
        self.failed = np.zeros(len(plans), dtype=bool)
        self.tokens: list[list[int]] = [[] for _ in plans]
        self.room = _Room(self.vocabulary, plans, measure) if any(p.ask.width_pixels for p in plans) else None

    def choose(self, logits: Tensor, rng: np.random.Generator, warmth: float) -> Tensor:
        """The next token of each line, int64 [B], drawn from what it may be; marks lines that end or fail."""
        mask = self.allowed.clone()
        for row, plan in enumerate(self.plans):
            if self.named[row] < len(plan.needs):
                mask[row, self.vocabulary.slot[plan.needs[self.named[row]]]] = True
            else:
                mask[row, END] = True
        if self.room is not None:
            mask &= self.room.fits(self.named)
        free = torch.softmax(logits, dim=1)
        weight = torch.where(
            mask & (free >= LEAST), torch.exp(logits / warmth - (logits / warmth).amax(1, True)), 0.0
        )
        total = weight.sum(1, keepdim=True)
        drawn = torch.from_numpy(rng.random(len(self.plans)).astype(np.float32))[:, None] * total
        chosen = (torch.cumsum(weight, dim=1) < drawn).sum(1).clamp(max=logits.shape[1] - 1)
        stuck = (total[:, 0] <= 0).numpy()
        for at in np.flatnonzero(~self.done).tolist():
            self._take(at, int(chosen[at]), bool(stuck[at] or not mask[at, chosen[at]]))
        return chosen

    def _take(self, row: int, token: int, stuck: bool) -> None:
        if stuck:
            self.done[row] = self.failed[row] = True
            return
        if token == END:
            self.done[row] = True
            return
        self.tokens[row].append(token)
        plan = self.plans[row]
        if self.named[row] < len(plan.needs) and token == self.vocabulary.slot[plan.needs[self.named[row]]]:
            self.named[row] += 1
        if self.room is not None:
            self.room.take(row, token)

    def templates(self) -> list[str | None]:
        """What was written; None for lines that failed or never came to an end."""
        return [
            None if self.failed[row] or not self.done[row] else self.vocabulary.decode(self.tokens[row], plan.locale)
            for row, plan in enumerate(self.plans)
        ]


class _Room:
    """Pixels left in each line, and how many each token takes: words by their own width, slots by their facts'."""

    def __init__(self, vocabulary: Vocabulary, plans: Sequence[Plan], measure: Measure | None) -> None:
        assert measure is not None, "an ask with width_pixels needs a measure"
        space = measure(" ")
        self.plans, self.slot = plans, vocabulary.slot
        words = [0.0 if n < vocabulary.first_text else measure(word) for n, word in enumerate(vocabulary.words)]
        self.width = torch.tensor([words] * len(plans), dtype=torch.float32)
        spaced = torch.tensor([space if plan.locale == "en" else 0.0 for plan in plans])
        self.width[:, vocabulary.first_text :] += spaced[:, None]
        self.left = torch.tensor([plan.ask.width_pixels or 1e9 for plan in plans])
        self.rest: list[list[float]] = []  # of each line: pixels of the facts not yet named, by how many are
        for row, plan in enumerate(plans):
            wide = [measure(text) + float(spaced[row]) for text in plan.texts]
            for slot, pixels in zip(plan.needs, wide, strict=True):
                self.width[row, vocabulary.slot[slot]] = pixels
            self.rest.append([sum(wide[n:]) for n in range(len(wide) + 1)])

    def fits(self, named: Sequence[int]) -> Tensor:
        """bool [B, V]: tokens after which the facts still to come fit."""
        still = torch.tensor([rest[n] for rest, n in zip(self.rest, named, strict=True)])
        fits = self.width <= (self.left - still)[:, None]
        for row, plan in enumerate(self.plans):
            if named[row] < len(plan.needs):  # what is kept for it is there
                fits[row, self.slot[plan.needs[named[row]]]] = bool(self.left[row] >= still[row])
        fits[:, END] = True
        return fits

    def take(self, row: int, token: int) -> None:
        self.left[row] -= self.width[row, token]
