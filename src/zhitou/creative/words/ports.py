"""Language models from outside, behind the same verifier: a local Hugging Face folder, any OpenAI-compatible address.

They are given the facts of one row and asked for one text; what they answer is a proposal like any other. An address
that fails often is left alone for a while, an answer that is too large or no JSON counts as none, and the key never
leaves the request's header: it is in no message, no record and no `repr`.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zhitou.core.errors import ConfigError, MissingExtraError, ModelError
from zhitou.creative.titles import clean
from zhitou.creative.words.authors import Proposal, Wanted, proposal_of
from zhitou.creative.words.verify import CHARACTERS_MOST

_LANGUAGE = {"en": "English", "zh": "Simplified Chinese"}
_PLACE = {
    "headline": "the headline of a banner, at most 10 words",
    "subline": "the line under a banner's headline, at most 14 words",
    "button": "the words of a button, at most 3 words",
    "push": "a push notification, at most 20 words",
    "subject": "the subject of an e-mail, at most 12 words",
    "body": "the body of an e-mail, two to four sentences",
}  # fmt: skip


def prompt_for(want: Wanted) -> str:
    """What a language model is asked: the facts, the place, the angle and the tone. No word about the shopper."""
    facts, ask = want.facts, want.ask
    order = [*(s for s in ask.first if s in facts.slots), *(s for s in facts.slots if s not in ask.first)]
    told = {slot: facts.slots[slot] for slot in order}
    return (
        f"Write {_PLACE[ask.place]} in {_LANGUAGE[facts.locale]}. Tone: {ask.tone}. Angle: {ask.angle}.\n"
        "Use only these facts, in this order of importance, word for word. Invent nothing: no number, price, brand, "
        f"quality, origin or promise that is not here.\n{json.dumps(told, ensure_ascii=False)}\n"
        'Answer with one JSON object and nothing else: {"text": "..."}'
    )


def read_answer(answer: str, place: str) -> str | None:
    """The text in a model's answer: the value of "text" in its JSON object, also inside a code fence or other words.

    None: no such object, or a text that is empty or far too long.

    >>> read_answer('Sure! {"text": "Meet Wool Socks"}', "headline")
    'Meet Wool Socks'
    """
    decoder = json.JSONDecoder()
    for match in re.finditer(r"{", answer):
        try:
            found, _ = decoder.raw_decode(answer, match.start())
        except (ValueError, RecursionError):
            continue
        text = found.get("text") if isinstance(found, dict) else None
        if isinstance(text, str) and text.strip() and len(text) <= 2 * CHARACTERS_MOST[place]:
            return clean(text.strip()) or None
    return None


@dataclass
class Breaker:
    """Leaves an address alone that fails: after `failures` in a row, for `pause_seconds`; then one request may try.

    now: seconds of a clock that only goes forward.
    """

    failures: int = 3
    pause_seconds: float = 30.0
    now: Callable[[], float] = time.monotonic
    _failed: int = 0
    _open_until: float = 0.0

    def may_ask(self) -> bool:
        """Whether a request may be made now."""
        return self._failed < self.failures or self.now() >= self._open_until

    def succeeded(self) -> None:
        """A request was answered."""
        self._failed = 0

    def failed(self) -> None:
        """A request was not answered, or not in time."""
        self._failed += 1
        if self._failed >= self.failures:
            self._open_until = self.now() + self.pause_seconds


class EndpointError(ModelError):
    """An address that did not answer as the protocol says. Its message names the address and never the key."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible address (vLLM, Ollama, llama.cpp, a provider).

    base_url: up to and with the version, such as http://127.0.0.1:8000/v1. key_name: the environment variable that
    holds the key, "" for none; the key itself is read when a request is made and kept nowhere.
    timeout_seconds: of connecting and of each read. seconds_most: of a whole answer. bytes_most: of an answer.

    Refused (ConfigError): an address that is not http or https; a key over http to another machine.
    """

    base_url: str
    model: str
    key_name: str = ""
    timeout_seconds: float = 10.0
    seconds_most: float = 30.0
    bytes_most: int = 65_536
    tokens_most: int = 300
    warmth: float = 0.8

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ConfigError(
                "base_url is an http or https address without user, key or query, such as http://host/v1"
            )
        if self.key_name and parts.scheme == "http" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
            raise ConfigError(
                "a key is sent over https only, or to this machine; change base_url or leave key_name out"
            )

    def ask(self, prompt: str) -> str:
        """The model's answer to one prompt. Refused (EndpointError): not in time, too large, in no known form."""
        body = {
            "model": self.model, "messages": [{"role": "user", "content": prompt}], "temperature": self.warmth,
            "max_tokens": self.tokens_most, "stream": False, "response_format": {"type": "json_object"},
        }  # fmt: skip
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key_name and (key := os.environ.get(self.key_name, "")):
            headers["Authorization"] = f"Bearer {key}"
        url = self.base_url.rstrip("/") + "/chat/completions"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")  # noqa: S310
        try:
            answer = json.loads(self._read(request))
            text = answer["choices"][0]["message"]["content"]
        except (
            OSError,
            http.client.HTTPException,
        ) as error:  # urllib's errors are OSErrors; their text may hold headers
            code = getattr(error, "code", None)
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise EndpointError(
                f"{url} did not answer ({type(error).__name__}{f' {code}' if code else ''})"
            ) from None
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise EndpointError(f"{url} answered in no form of chat completions; is base_url right?") from None
        if not isinstance(text, str):
            raise EndpointError(f"{url} answered without a text")
        return text

    def _read(self, request: urllib.request.Request) -> bytes:
        begun = time.monotonic()
        opener = urllib.request.build_opener(_NoRedirect())
        with opener.open(request, timeout=self.timeout_seconds) as answer:
            parts: list[bytes] = []
            size = 0
            while part := answer.read1(8192):
                size += len(part)
                if size > self.bytes_most:
                    raise ValueError("too large")
                if time.monotonic() - begun > self.seconds_most:
                    raise TimeoutError
                parts.append(part)
        return b"".join(parts)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another address: it is an error instead."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass
class EndpointAuthor:
    """An endpoint as an author. failures counts the requests that brought nothing, by reason."""

    endpoint: Endpoint
    breaker: Breaker = field(default_factory=Breaker)
    name: str = "endpoint"
    failures: dict[str, int] = field(default_factory=dict)

    def propose(self, wanted: Sequence[Wanted], rng: np.random.Generator) -> list[Proposal | None]:
        """One request for each text; None where none was answered. `rng` is not used: the chance is the model's."""
        return [self._one(want) for want in wanted]

    def _one(self, want: Wanted) -> Proposal | None:
        if not self.breaker.may_ask():
            return self._nothing("paused")
        try:
            answer = self.endpoint.ask(prompt_for(want))
        except EndpointError:
            self.breaker.failed()
            return self._nothing("no answer")
        self.breaker.succeeded()
        text = read_answer(answer, want.ask.place)
        return proposal_of(text, want.facts) if text else self._nothing("no text")

    def _nothing(self, reason: str) -> Proposal | None:
        self.failures[reason] = self.failures.get(reason, 0) + 1
        return None


class LocalAuthor:
    """A causal language model in a local Hugging Face folder. Nothing is fetched: the folder is all there is.

    Refused (ConfigError): a folder without a config.json. Refused (MissingExtraError): transformers is not installed.
    """

    def __init__(self, folder: Path, tokens_most: int = 120, warmth: float = 0.8, name: str = "local") -> None:
        if not (folder / "config.json").is_file():
            raise ConfigError(f"expected a Hugging Face model folder with config.json at {folder}")
        try:
            transformers: Any = importlib.import_module("transformers")
        except ImportError:
            raise MissingExtraError(
                "a local language model needs transformers; install it with: pip install 'transformers>=4.44'"
            ) from None
        self.name, self.tokens_most, self.warmth = name, tokens_most, warmth
        self._tokens = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False
        ).eval()

    def propose(self, wanted: Sequence[Wanted], rng: np.random.Generator) -> list[Proposal | None]:
        """One text each; None where the answer held none."""
        return [self._one(want, rng) for want in wanted]

    def _one(self, want: Wanted, rng: np.random.Generator) -> Proposal | None:
        prompt = prompt_for(want)
        if getattr(self._tokens, "chat_template", None):
            asked = [{"role": "user", "content": prompt}]
            prompt = self._tokens.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        given = self._tokens(prompt, return_tensors="pt")
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(int(rng.integers(2**62)))
            made = self._model.generate(
                **given, max_new_tokens=self.tokens_most, do_sample=True, temperature=self.warmth,
                pad_token_id=self._tokens.eos_token_id,
            )  # fmt: skip
        answer = self._tokens.decode(made[0, given["input_ids"].shape[1] :], skip_special_tokens=True)
        text = read_answer(answer, want.ask.place)
        return proposal_of(text, want.facts) if text else None
