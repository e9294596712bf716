"""What serving needs of a trained interest model, as numpy arrays: read from a model's folder or from an export.

M = items, D = width, L = blocks, I = inner width of a block, F = features of a memory, E = its hidden width,
G = types, lines of a brand, or items: what a memory is about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from zhitou.catalog.table import ItemTable
from zhitou.core.errors import ConfigError, ModelError
from zhitou.interest.kernels import Blocks, Embeddings, Memories
from zhitou.interest.memory import FEATURES
from zhitou.interest.nearby import Nearby
from zhitou.interest.tokens import BRAND, FINEST, SECOND, Vocabulary
from zhitou.learning.manifest import load_arrays, save_arrays

MODEL, EXPORT = "interest", "interest-export"
KINDS = ("float32", "bfloat16", "int8")  # how an export may keep its tables of vectors
TABLES = ("table", "type_vectors", "line_vectors")
MEMORIES = ("of_items", "of_types", "of_lines")
NEARBY = ("nearby", "transitions")
NEAR_ARRAYS = ("offsets", "item", "count", "mass", "seen")  # of learning.transitions.Transitions
NEAR_SETTINGS = {  # those that serving knows how to follow
    *("window", "decay", "backward", "reach", "fade", "rarity", "row", "smooth", "own", "once", "neighbours")
}
STEP = np.float32(127.0)
_SERVED = re.compile(  # the names of weights that serving knows what to do with
    r"table|bias|start|gap_s|(action|gap|day|wait|norm)\.weight|query\.(weight|bias)|(of_items|of_types|of_lines)\..+"
    r"|blocks\.\d+\.(norm_attention|norm_feed|qkv|mix|feed|back)\.weight"
    r"|nearby\.(strength|of_state\.weight|log_floor)|transitions\.(offsets|item|count|mass|seen)"
)
_MAKES_TABLE = re.compile(r"items\.(popularity|(own|own_bias|content\.\d+|title)\.weight)")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Weights:
    """A model ready to be served. wait [GAPS, D], query [D + 1, D]: the query is (state + wait) @ query, a constant
    last, both times the share that taste has in a prediction. thing, kind: int64 [3, M], what each item counts as in
    each memory, and the kind of that thing. gap_s: the typical gap between steps, seconds. heads, context: of the
    decoder. nearby: None in a model without. facts: its manifest.
    """

    embeddings: Embeddings
    blocks: Blocks
    memories: Memories
    nearby: Nearby | None
    wait: np.ndarray
    query: np.ndarray
    thing: np.ndarray
    kind: np.ndarray
    gap_s: int
    heads: int
    context: int
    facts: dict[str, Any]

    def __len__(self) -> int:
        return len(self.embeddings.table)


def read(folder: Path, items: ItemTable | None = None) -> Weights:
    """The weights in a folder written by `Interest.save` or `export`.

    Refused (ModelError): altered files, another kind of model, weights that are no numbers or that serving knows
    nothing of, and, if `items` is given, a catalogue the model was not made for.
    """
    arrays, manifest = _served(folder)
    if items is not None and manifest["items_sha256"] != items.fingerprint:
        raise ModelError(
            f"{folder} was made for another catalogue of {manifest['items']} items, this one has {len(items)}; "
            "train again, or load the catalogue it was trained with"
        )
    broken = [k for k, v in arrays.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
    if broken:
        raise ModelError(f"{folder} holds weights that are not finite in {broken}; train again, with a lower lr")
    return _weights(arrays, manifest)


def export(folder: Path, target: Path, kind: str = "int8") -> str:
    """Write what serving needs of the model in `folder` to `target`, its tables as `kind`; the manifest's SHA-256.

    int8: each vector in steps of 1/127 of its largest entry, a quarter of the size. bfloat16: half. float32: exact.
    Biases and the decoder stay float32. The manifest says the kind and which model it came from.
    """
    if kind not in KINDS:
        raise ConfigError(f"an export is one of {KINDS}, got {kind!r}")
    arrays, manifest = _served(folder)
    packed: Arrays = {}
    for name, value in arrays.items():
        packed |= _packed(name, value, kind) if name in TABLES else {name: _narrow(value)}
    kept = ("config", "items", "items_sha256", "vocabulary_sha256", "code_version", "learnt", "facts")
    whole = {"model": EXPORT, "tables": kind, "made_from": manifest["sha256"]}
    return save_arrays(target, packed, whole | {key: manifest[key] for key in kept if key in manifest})


def table_and_bias(state: Arrays, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    """float32 [M, D] and [M]: every item's vector and popularity, as ItemEncoder makes them; a table that the model
    was saved with, as `table` and `bias`, is taken as it is."""
    if "table" in state:
        return state["table"], state["bias"]
    own, content = vocabulary.own, vocabulary.content
    known = (own > 0).astype(np.float32)
    table = state["items.own.weight"][own] * known[:, None]
    for column in range(content.shape[1]):
        table = table + state[f"items.content.{column}.weight"][content[:, column]]
    if "items.title.weight" in state:
        size = np.diff(state["words.offsets"])
        share = np.repeat(1 / np.sqrt(np.maximum(size, 1)), size).astype(np.float32)
        weight = state["items.title.weight"]
        titles = sparse.csr_array((share, state["words.word"], state["words.offsets"]), (len(table), len(weight)))
        table = table + titles @ weight
    seen = vocabulary.count.astype(np.float32)
    log_count = np.log((seen + np.float32(0.5)) / np.float32(max(float(seen.sum()), 1.0)))
    return table, state["items.popularity"] * log_count + state["items.own_bias.weight"][own, 0] * known


def _served(folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """(arrays as they are served, manifest), of a model or an export."""
    stored, manifest = load_arrays(folder)
    model = manifest.get("model")
    if model == EXPORT:
        return _unpacked(stored), manifest
    if model != MODEL:
        raise ModelError(f"{folder} holds a {model!r} model, expected {MODEL!r} or an export of one")
    made = "table" in stored  # then it does not matter what the table was made of
    unknown = [name for name in stored if not (_SERVED.fullmatch(name) or _makes_table(name, made))]
    if unknown:
        raise ModelError(f"{folder} holds weights that cannot be served, {sorted(unknown)}; use predict.Interest")
    own, content, count = (stored.pop(f"vocabulary.{name}") for name in ("own", "content", "count"))
    return _flat(stored, Vocabulary(own, content, count, tuple(manifest["vocabulary_sizes"])), manifest), manifest


def _makes_table(name: str, made: bool) -> bool:
    if name.startswith("items."):
        return made or _MAKES_TABLE.fullmatch(name) is not None
    return name.startswith(("vocabulary.", "words."))


def _flat(state: Arrays, vocabulary: Vocabulary, manifest: dict[str, Any]) -> Arrays:
    """The arrays of a trained model's state as serving reads them and an export keeps them."""
    table, bias = table_and_bias(state, vocabulary)
    bias = bias * np.float32(manifest["config"]["popular_share"])
    arrays = {"table": table, "bias": bias, "start": state["start"]}
    arrays |= {name: state[f"{name}.weight"] for name in ("action", "gap", "day", "wait")}
    share = np.float32(manifest["config"]["taste_share"])
    d = table.shape[1]
    straight = np.eye(d + 1, d, dtype=np.float32)  # where the state itself is held against item vectors
    if "query.weight" in state:
        straight = np.concatenate([state["query.weight"].T, state["query.bias"][None]])
    arrays["query"] = straight * share
    norms = np.stack([_stacked(state, "norm_attention.weight"), _stacked(state, "norm_feed.weight")], axis=1)
    arrays["norms"] = np.concatenate([norms.reshape(-1, d), state["norm.weight"][None]])
    arrays |= {name: _stacked(state, f"{name}.weight") for name in ("qkv", "mix", "feed", "back")}
    content = vocabulary.content
    code = content[np.unique(vocabulary.line, return_index=True)[1]]
    finest, second, brand = (state[f"items.content.{column}.weight"] for column in (FINEST, SECOND, BRAND))
    arrays |= {"type_vectors": finest, "line_vectors": second[code[:, SECOND]] + brand[code[:, BRAND]]}
    arrays |= {"type": content[:, FINEST], "second": content[:, SECOND], "brand": content[:, BRAND]}
    arrays |= {"line": vocabulary.line, "gap_s": np.asarray(state["gap_s"], dtype=np.int64).reshape(1)}
    return arrays | {key: value for key, value in state.items() if key.split(".")[0] in (*MEMORIES, *NEARBY)}


def _stacked(state: Arrays, key: str) -> np.ndarray:
    """The weights of this name of all blocks, [L, ...]; matrices as [in, out]."""
    blocks = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    return np.stack([state[f"blocks.{n}.{key}"].T for n in range(blocks)])


def _weights(arrays: Arrays, manifest: dict[str, Any]) -> Weights:
    embeddings = Embeddings(*(_floats(arrays[name]) for name in Embeddings._fields))
    d = embeddings.table.shape[1]
    parts = arrays | {"q": arrays["qkv"][:, :, :d], "kv": arrays["qkv"][:, :, d:]}
    item_type, second, brand, line = (arrays[n].astype(np.int64) for n in ("type", "second", "brand", "line"))
    config = manifest["config"]
    return Weights(
        embeddings=embeddings,
        blocks=Blocks(*(_floats(parts[name]) for name in Blocks._fields)),
        memories=_memories(arrays, embeddings.table),
        nearby=_nearby(arrays, config) if "nearby.strength" in arrays else None,
        wait=_floats(arrays["wait"]),
        query=_floats(arrays["query"]),
        thing=np.stack([np.arange(len(item_type)), item_type, line]),
        kind=np.stack([item_type, second, brand]),
        gap_s=int(arrays["gap_s"][0]),
        heads=int(config["heads"]),
        context=int(config["context"]),
        facts=manifest,
    )


def _memories(arrays: Arrays, table: np.ndarray) -> Memories:
    """All three; those a model was made without are off."""
    on = np.asarray([f"{name}.out.weight" in arrays for name in MEMORIES])
    made = [_memory(arrays, name) for name, has in zip(MEMORIES, on, strict=True) if has]
    f, d = len(FEATURES), table.shape[1]
    nothing = (np.zeros((f + d, 1)), np.zeros((d + 1, 1)), np.zeros(f + 1), np.zeros(1))
    empty = tuple(np.zeros_like(part) for part in made[0]) if made else nothing
    rest = iter(made)
    inner, state, straight, out = zip(*(next(rest) if has else empty for has in on), strict=True)
    vectors = (table, _floats(arrays["type_vectors"]), _floats(arrays["line_vectors"]))
    parts = [_floats(np.stack(part)) for part in (inner, state, straight, out)]
    return Memories(vectors, parts[0], parts[1], parts[2], parts[3], on)


def _memory(arrays: Arrays, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(inner, of_state, straight, out) of one, with mean and scale of its features folded in."""
    mean, scale = arrays[f"{name}.mean"].astype(np.float64), arrays[f"{name}.scale"].astype(np.float64)
    features, thing, state = (arrays[f"{name}.{p}.weight"] for p in ("of_features", "of_thing", "of_state"))
    scaled, direct = features * scale, arrays[f"{name}.straight.weight"][0] * scale
    constant = arrays[f"{name}.of_features.bias"] - scaled @ mean
    return (
        np.concatenate([scaled.T, thing.T]),
        np.concatenate([state.T, constant[None]]),
        np.append(direct, arrays[f"{name}.straight.bias"] - direct @ mean),
        arrays[f"{name}.out.weight"][0],
    )


def _nearby(arrays: Arrays, config: dict[str, Any]) -> Nearby:
    """The counts, with what depends on one item alone worked out, and the strength they have."""
    how, near = config["nearby"], {name: arrays[f"transitions.{name}"] for name in NEAR_ARRAYS}
    if unknown := sorted(set(how) - NEAR_SETTINGS):
        raise ModelError(f"transitions have settings that cannot be served, {unknown}; use predict.Interest")
    speed = np.float32(config["nearby_speed"])
    mass, seen = (near[name].astype(np.float64) + how["smooth"] for name in ("mass", "seen"))
    return Nearby(
        offsets=np.array(near["offsets"], dtype=np.int64),
        item=np.array(near["item"], dtype=np.int32),
        counts=_floats(near["count"]),
        speaks=mass ** -float(how["row"]),
        rare=seen ** -float(how["rarity"]),
        again=mass * how.get("own", 0.0),
        fades=np.arange(1, how["reach"] + 1) ** -float(how["fade"]),
        of_state=_floats(np.append(arrays["nearby.of_state.weight"], arrays["nearby.strength"] * speed)),
        lift=_floats(np.exp(-arrays["nearby.log_floor"] * speed).reshape(1)),
        limit=np.asarray([config["candidates"]], dtype=np.int64),
    )


def _floats(value: np.ndarray) -> np.ndarray:
    """A writable copy, contiguous: arrays that may not be written are another type to the compiler."""
    return np.array(value, dtype=np.float32, order="C")


def _narrow(value: np.ndarray) -> np.ndarray:
    """Whole numbers as the shortest type that holds them."""
    if value.dtype.kind != "i" or not value.size:
        return value
    return value.astype(np.promote_types(np.min_scalar_type(value.min()), np.min_scalar_type(value.max())))


def _packed(name: str, value: np.ndarray, kind: str) -> Arrays:
    value = _floats(value)
    if kind == "float32":
        return {name: value}
    if kind == "bfloat16":  # the upper half of a float32, rounded to even
        bits = value.view(np.uint32)
        return {f"{name}.bfloat16": ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)}
    scale = np.maximum(np.abs(value).max(axis=1), np.float32(1e-30)) / STEP
    return {f"{name}.int8": np.rint(value / scale[:, None]).astype(np.int8), f"{name}.scale": scale}


def _unpacked(stored: Arrays) -> Arrays:
    arrays = {name: value for name, value in stored.items() if name in TABLES or name.rsplit(".", 1)[0] not in TABLES}
    for name in TABLES:
        if f"{name}.bfloat16" in stored:
            arrays[name] = (stored[f"{name}.bfloat16"].astype(np.uint32) << 16).view(np.float32)
        elif f"{name}.int8" in stored:
            arrays[name] = stored[f"{name}.int8"].astype(np.float32) * stored[f"{name}.scale"][:, None]
    return arrays
