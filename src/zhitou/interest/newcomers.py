"""Items that came after training: served at once, by what they are and by what became of their like.

M = items of the trained model, N = items of the new catalogue, D = width.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy import sparse

from zhitou.catalog.table import ItemTable
from zhitou.core.errors import ModelError
from zhitou.interest.model import Decoder
from zhitou.interest.predict import Interest
from zhitou.interest.tokens import Vocabulary
from zhitou.learning.transitions import Transitions

LIKE = 10  # items that a newcomer takes after
STANDING = 0.8  # chosen on one draw of hidden items of Amazon Beauty (JOURNAL.md)
CHUNK = 512


def with_items(interest: Interest, items: ItemTable, standing: float = STANDING) -> Interest:
    """The same model over a catalogue with more items, without any training; a new object.

    A newcomer has the vector of its categories, brand, price band and title, as far as their words were known in
    training, and comes soon after what the items most like it came soon after. It counts as popular as the item at
    the quantile `standing` of those that were sold: what is known of it is vague, so that with a middling standing it
    would hardly ever be among the best ten, and never be found out about. Refused (ModelError): a catalogue that
    lacks items the model was trained with (keep them, out of stock), a standing outside 0 to 1.
    """
    if not 0 <= standing <= 1:
        raise ModelError(f"standing is a quantile from 0 to 1, got {standing}")
    old = items.find(interest.items.ids)
    if (old < 0).any():
        missing = str(interest.items.ids[int(np.argmin(old))])
        raise ModelError(f"item {missing!r} of the trained model is not in the new catalogue; keep it, out of stock")
    fresh = np.ones(len(items), dtype=bool)
    fresh[old] = False
    vocabulary = _vocabulary(interest, items, old, fresh, standing)
    module = Decoder(interest.config, vocabulary)
    module.load_state_dict(interest.module.state_dict())
    near = None if interest.near is None else _near(interest.near, module, old, fresh)
    return Interest(module, vocabulary, interest.config, items, interest.learnt, near)


def _vocabulary(
    interest: Interest, items: ItemTable, old: np.ndarray, fresh: np.ndarray, standing: float
) -> Vocabulary:
    """What the model knows of each of N items, in its own codes."""
    voc, before = interest.vocabulary, interest.items
    own, count = np.zeros(len(items), dtype=np.int64), np.zeros(len(items), dtype=np.int64)
    own[old], count[old] = voc.own, voc.count
    sold = voc.count[voc.own > 0]
    count[fresh] = int(np.quantile(sold, standing)) if len(sold) else 0
    levels = zip(items.category.T, items.category_names, before.category_names, strict=True)
    columns = [_recoded(codes, names, known) for codes, names, known in levels]
    columns += [_recoded(items.brand, items.brand_names, before.brand_names), items.price_band.astype(np.int64)]
    words = None if voc.words is None else voc.words.of_titles(items.titles)
    content = np.stack(columns, axis=1)
    content[old] = voc.content  # price bands are deciles of a catalogue: the trained items keep the ones they had
    return replace(voc, own=own, count=count, content=content, words=words)


def _recoded(codes: np.ndarray, names: tuple[str, ...], known: tuple[str, ...]) -> np.ndarray:
    """int64: these codes in the numbering of `known`, 0 (unknown) for names that were not there."""
    number = {name: code for code, name in enumerate(known)}
    return np.asarray([number.get(name, 0) for name in names], dtype=np.int64)[codes]


def _near(near: Transitions, module: Decoder, old: np.ndarray, fresh: np.ndarray) -> Transitions:
    """The counts over N items; a newcomer's are the mean of those of the items most like it."""
    n, m = len(fresh), len(near)
    like = _like(module, old, fresh)  # [N, M], rows of newcomers sum to one
    counts = sparse.csr_array((near.count, near.item, near.offsets), shape=(m, m))
    place = sparse.csr_array((np.ones(m, dtype=np.float32), (old, np.arange(m))), shape=(n, m))
    wide = sparse.csr_array(place @ counts @ (place + like).T)
    wide.sort_indices()
    arrays = wide.indptr.astype(np.int64), wide.indices.astype(np.int32), wide.data.astype(np.float32)
    return Transitions(near.config, *arrays, place @ near.mass, (place + like) @ near.seen)


def _like(module: Decoder, old: np.ndarray, fresh: np.ndarray) -> sparse.csr_array:
    """float32 [N, M]: for each newcomer an equal share of the trained items whose content is most like its own."""
    new = np.flatnonzero(fresh)
    with torch.no_grad():
        hidden = torch.ones(len(fresh), dtype=torch.bool)
        vectors = torch.nn.functional.normalize(module.items(torch.arange(len(fresh)), hidden)[0], dim=1)
        known, most = vectors[torch.from_numpy(old.astype(np.int64))], min(LIKE, len(old))
        best = [
            (vectors[torch.from_numpy(new[start : start + CHUNK])] @ known.T).topk(most, dim=1).indices.numpy()
            for start in range(0, len(new), CHUNK)
        ]
    column = np.concatenate([part.ravel() for part in best]) if best else np.zeros(0, dtype=np.int64)
    share = np.full(len(column), 1.0 / most, dtype=np.float32)
    return sparse.csr_array((share, (np.repeat(new, most), column)), shape=(len(fresh), len(old)))
