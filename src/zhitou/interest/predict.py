"""The trained model as the rest of zhitou sees it: scores, vectors, tags and rankings of histories.

N = subjects, M = items, D = width, T = tokens, Q = pairs of a subject and an own item.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zhitou.catalog.table import ItemTable
from zhitou.core.errors import ModelError
from zhitou.evaluation import ranking
from zhitou.events.histories import Histories
from zhitou.interest.batches import column_of, memory_arrays, near_columns, token_batch
from zhitou.interest.config import InterestConfig
from zhitou.interest.model import Decoder
from zhitou.interest.softmax import Sparse
from zhitou.interest.tokens import FINEST, Steps, Vocabulary, expected_next_s, gap_bucket, steps_of
from zhitou.interest.words import Words
from zhitou.learning.checkpoints import load_model, save_model
from zhitou.learning.fit import FitConfig
from zhitou.learning.transitions import TransitionConfig, Transitions

CHUNK = 128
LEAST_GAIN = 1e-4  # below it a tag is the prior's and not the shopper's
NEAR_ARRAYS = ("offsets", "item", "count", "mass", "seen")
_NEAR = "transitions."
_WORDS = ("words.known", "words.offsets", "words.word")
_OWN, _CONTENT, _COUNT = "vocabulary.own", "vocabulary.content", "vocabulary.count"


@dataclass(frozen=True)
class Tag:
    """A word for a taste: a category or brand, and the share of the next-step probability that falls on it."""

    kind: str
    word: str
    weight: float


def _chunks(histories: Histories) -> list[np.ndarray]:
    """Rows of these histories in chunks of like length, so that little of a chunk is padding."""
    order = np.argsort(steps_of(histories).sizes, kind="stable")
    return [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]


def best_items(
    scores: Callable[[Histories], np.ndarray], histories: Histories, k: int, exclude_seen: bool
) -> np.ndarray:
    """int64 [N, k]: the best items of each subject by `scores` (histories -> float [N, M], k at most M), best first,
    equal scores by item number, -1 where none are left. exclude_seen: leave out what a subject had."""
    best = np.full((len(histories), k), -1, dtype=np.int64)
    for rows in _chunks(histories):
        part = histories.select(rows)
        found = scores(part)
        if exclude_seen:
            found[part.subject_of_event, part.item] = -np.inf
        best[rows] = ranking.topk(found, k)
    return best


class Interest:
    """interest = f(behaviour), trained. Implements strategy.ports.InterestModel."""

    name = "interest"

    def __init__(
        self,
        module: Decoder,
        vocabulary: Vocabulary,
        config: InterestConfig,
        items: ItemTable,
        learnt: Mapping[str, Any] | None = None,
        near: Transitions | None = None,
    ) -> None:
        """near: what came soon after what, in a model that reads it.
        learnt: JSON values on what it was trained on and how that went; they travel in the manifest."""
        self.module, self.vocabulary, self.config, self.items = module.eval(), vocabulary, config, items
        self.learnt, self.near = dict(learnt or {}), near
        assert (near is None) == (config.nearby is None), "a model with a term for nearby items needs their counts"
        with torch.no_grad():
            self._table, self._bias = self.module.items(torch.arange(len(vocabulary)))
            self._groups = self.module.group_tables()

    def scores(self, histories: Histories, items: np.ndarray | None = None, *, at_s: int | None = None) -> np.ndarray:
        """float32 [N, len(items)] (all M if None): log-scale score of each item being in the next step.

        at_s: Unix seconds of the question; without it, each subject is asked when its next step is due. A subject
        without history gets what strangers like. Refused (ModelError): item numbers that the catalogue does not have.
        """
        self._refuse_unknown(histories.item if items is None else np.concatenate([histories.item, items]))
        chosen = np.arange(len(self.vocabulary)) if items is None else np.asarray(items, dtype=np.int64)
        out = np.empty((len(histories), len(chosen)), dtype=np.float32)
        for rows in _chunks(histories):
            out[rows] = self._scores(histories.select(rows), chosen, at_s)
        return out

    def vectors(self, histories: Histories) -> np.ndarray:
        """float32 [N, D]: the decoder's state after each subject's last step; the start token's without any.

        Refused as in `scores`."""
        self._refuse_unknown(histories.item)
        out = np.empty((len(histories), self.config.width), dtype=np.float32)
        for rows in _chunks(histories):
            part = histories.select(rows)
            out[rows] = self._states(part, steps_of(part)).numpy()
        return out

    def topk(
        self, histories: Histories, k: int, *, exclude_seen: bool = False, at_s: int | None = None
    ) -> np.ndarray:
        """int64 [N, k]: the best items of each subject, best first, equal scores by item number."""
        scores = partial(self.scores, at_s=at_s)
        return best_items(scores, histories, min(k, len(self.vocabulary)), exclude_seen)

    def tags(self, histories: Histories, top: int = 5) -> list[tuple[Tag, ...]]:
        """For each subject its `top` tags: categories and brands on which the next step's probability falls more
        than on a subject without history, ordered by weight * log(weight / prior weight)."""
        found: list[tuple[Tag, ...]] = [()] * len(histories)
        if not found:
            return found
        nothing = histories.select(np.arange(1))
        prior = self._masses(nothing.keep(np.zeros(len(nothing.item), dtype=bool)))
        for rows in _chunks(histories):
            for row, tags in zip(rows, self._tags(histories.select(rows), prior, top), strict=True):
                found[row] = tags
        return found

    def save(self, folder: Path, facts: dict[str, Any] | None = None) -> str:
        """Write the model to `folder`; returns its version, the SHA-256 of its manifest.

        facts: more JSON values for the manifest, such as metrics with intervals or a privacy statement.
        """
        voc = self.vocabulary
        tensors: dict[str, Tensor | np.ndarray] = dict(self.module.state_dict())
        tensors |= {_OWN: voc.own, _CONTENT: voc.content, _COUNT: voc.count}
        if voc.words is not None:
            tensors |= dict(zip(_WORDS, (voc.words.packed(), voc.words.offsets, voc.words.word), strict=True))
        if self.near is not None:
            tensors |= {f"{_NEAR}{key}": getattr(self.near, key) for key in NEAR_ARRAYS}
        manifest = {
            "model": self.name,
            "config": asdict(self.config),
            "vocabulary_sha256": voc.fingerprint(),
            "vocabulary_sizes": list(voc.sizes),
            "items": len(voc),
            "items_sha256": self.items.fingerprint,
            "code_version": importlib.metadata.version("zhitou"),
            "learnt": self.learnt,
            "facts": facts or {},
        }
        return save_model(folder, tensors, manifest)

    @classmethod
    def load(cls, folder: Path, items: ItemTable) -> Interest:
        """The model in this folder. Refused (ModelError): altered files, or a catalogue it was not made for."""
        tensors, manifest = load_model(folder)
        if manifest.get("model") != cls.name:
            raise ModelError(f"{folder} holds a {manifest.get('model')!r} model, expected {cls.name!r}")
        own, content, count = (tensors.pop(key).numpy() for key in (_OWN, _CONTENT, _COUNT))
        words = None
        if _WORDS[0] in tensors:
            known, offsets, word = (tensors.pop(key).numpy() for key in _WORDS)
            words = Words(Words.unpacked(known), offsets, word)
        vocabulary = Vocabulary(own, content, count, tuple(manifest["vocabulary_sizes"]), words)
        if manifest["items_sha256"] != items.fingerprint:
            raise ModelError(
                f"{folder} was made for another catalogue of {len(vocabulary)} items, this one has {len(items)}; "
                "train again, or load the catalogue it was trained with"
            )
        settings = manifest["config"]
        if missing := {field.name for field in fields(InterestConfig)} - set(settings):
            raise ModelError(f"{folder} was written before {sorted(missing)[0]!r} was a setting; train it again")
        settings["fit"] = FitConfig(**{**settings["fit"], "betas": tuple(settings["fit"]["betas"])})
        near = None
        if settings["nearby"] is not None:
            settings["nearby"] = TransitionConfig(**settings["nearby"])
            arrays = (tensors.pop(f"{_NEAR}{key}").numpy() for key in NEAR_ARRAYS)
            near = Transitions(settings["nearby"], *arrays)
        config = InterestConfig(**settings)
        module = Decoder(config, vocabulary)
        module.load_state_dict(tensors)
        return cls(module, vocabulary, config, items, manifest["learnt"], near)

    def _refuse_unknown(self, items: np.ndarray) -> None:
        if len(items) and (items.min() < 0 or items.max() >= len(self.vocabulary)):
            odd = int(items.min() if items.min() < 0 else items.max())
            raise ModelError(
                f"item number {odd} is not in the catalogue of {len(self.vocabulary)} items; "
                "find numbers by ItemTable.find, or bring new items in by interest.newcomers.with_items"
            )

    def _states(self, histories: Histories, steps: Steps) -> Tensor:
        """[N, D]: the state after the last step."""
        end = steps.sizes
        begin = np.maximum(end - self.config.context, 0)
        seen = np.unique(histories.item)
        column = np.full(len(self.vocabulary), -1, dtype=np.int64)
        column[seen] = np.arange(len(seen))
        tokens = token_batch(histories, steps, begin, end, seen, column)
        with torch.no_grad():
            states = self.module.states(tokens, self._table[torch.from_numpy(seen.astype(np.int64))])
            return states[torch.arange(len(end)), torch.from_numpy(end - begin)]

    def _scores(self, histories: Histories, chosen: np.ndarray, at_s: int | None) -> np.ndarray:
        steps = steps_of(histories)
        states = self._states(histories, steps)
        asked_s = expected_next_s(histories, at_s, int(self.module.gap_s))
        last_s = steps.time_s[np.maximum(steps.offsets[1:] - 1, 0)] if len(steps.time_s) else asked_s
        wait = torch.from_numpy(np.where(steps.sizes == 0, 0, gap_bucket(asked_s - last_s)))
        asked = np.stack([np.arange(len(histories)), steps.sizes], axis=1)
        memories = memory_arrays(histories, steps, self.vocabulary, len(self.module.memories), asked, asked_s)
        pick = torch.from_numpy(chosen)
        with torch.no_grad():
            query = self.module.queries(states, wait) * self.config.taste_share
            scores = torch.addmm(self._bias[pick] * self.config.popular_share, query, self._table[pick].T)
            if self.near is not None:
                self._add_nearby(scores, histories, states, chosen)
            if memories:
                self._add_own(scores, memories[0], states, chosen)
            of_group = (self.module.items.content_code[:, FINEST], self.module.items.line_of)
            for number, pairs in enumerate(memories[1:], start=1):
                self._add_group(scores, number, pairs, states, of_group[number - 1][pick])
        return scores.numpy()

    def _add_nearby(self, scores: Tensor, histories: Histories, states: Tensor, chosen: np.ndarray) -> None:
        """Add what speaks for items that came soon after the subject's own in others' histories."""
        assert self.near is not None
        assert self.module.nearby is not None
        place = np.full(len(self.vocabulary), -1, dtype=np.int64)
        place[chosen] = np.arange(len(chosen))
        moment, column, score = near_columns(self.near.scores(histories, self.config.candidates), place)
        scores.view(-1).index_add_(0, moment * len(chosen) + column, self.module.nearby(moment, score, states))

    def _add_own(self, scores: Tensor, pairs: Sparse, states: Tensor, chosen: np.ndarray) -> None:
        """Add what the memory of items says to scores [N, len(chosen)]."""
        place = np.full(len(self.vocabulary), -1, dtype=np.int64)
        place[chosen] = np.arange(len(chosen))
        moment, item, features = pairs
        column = column_of(item, place)
        asked = column >= 0
        moment, item, column = moment[asked], item[asked], column[asked]
        own, thing = torch.unique(item, return_inverse=True)
        added = self.module.memories[0](features[asked], moment, thing, states, self._table[own])
        scores.view(-1).index_add_(0, moment * len(chosen) + column, added)

    def _add_group(self, scores: Tensor, number: int, pairs: Sparse, states: Tensor, of: Tensor) -> None:
        """Add what the memory of types or lines says; of: int64 [len(chosen)], the thing each item counts as."""
        moment, thing, features = pairs
        things, column = torch.unique(of, return_inverse=True)
        place = torch.full((int(max(thing.max(), things.max())) + 1,), -1) if len(thing) else None
        if place is None:
            return
        place[things] = torch.arange(len(things))
        asked = place[thing] >= 0
        moment, thing = moment[asked], thing[asked]
        vectors = self._groups[number - 1]
        added = self.module.memories[number](features[asked], moment, thing, states, vectors)
        dense = torch.zeros(len(scores), len(things))
        dense.view(-1)[moment * len(things) + place[thing]] = added
        scores += dense.index_select(1, column)

    def _masses(self, histories: Histories) -> list[np.ndarray]:
        """[N, codes] for the second category level and the brand: where the softmax over items falls."""
        scores = torch.from_numpy(self.scores(histories))
        share = torch.softmax(scores, dim=1)
        masses = []
        for codes, names in self._words():
            mass = torch.zeros(len(share), len(names))
            mass.index_add_(1, torch.from_numpy(codes.astype(np.int64)), share)
            masses.append(mass.numpy())
        return masses

    def _words(self) -> list[tuple[np.ndarray, tuple[str, ...]]]:
        table = self.items
        return [(table.category[:, 1], table.category_names[1]), (table.brand, table.brand_names)]

    def _tags(self, histories: Histories, prior: list[np.ndarray], top: int) -> list[tuple[Tag, ...]]:
        masses, words = self._masses(histories), self._words()
        found = []
        for row in range(len(histories)):
            tags: list[tuple[float, Tag]] = []
            for kind, mass, before, (_, names) in zip(("category", "brand"), masses, prior, words, strict=True):
                gain = mass[row] * np.log((mass[row] + 1e-9) / (before[0] + 1e-9))
                gain[0] = 0.0  # the code of "unknown" is no word
                best = np.lexsort((np.arange(len(gain)), -gain))[:top]
                best = best[gain[best] > LEAST_GAIN]
                tags += [(float(gain[b]), Tag(kind, names[b], float(mass[row, b]))) for b in best]
            tags.sort(key=lambda entry: (-entry[0], entry[1].kind, entry[1].word))
            found.append(tuple(tag for _, tag in tags[:top]))
        return found
