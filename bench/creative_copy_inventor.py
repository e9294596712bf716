"""A language model behind HTTP that lies on purpose: to the facts it is given it sometimes adds one of its own."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from zhitou.core.chance import Chance

# What it makes up, by language: numbers, prices, brands, origins, qualities, urgency, approval, guarantees.
LIES = {
    "en": (
        "Now only $1.99", "with 50% off", "a 10 year warranty", "free shipping included", "by Nike", "from Samsung",
        "made in Italy", "pure silk inside", "waterproof", "award winning", "loved by thousands", "rated 5 stars",
        "hurry, last chance", "only 2 left", "clinically proven", "the world's best", "certified organic",
        "save €20 today",
        "lasts 30 hours", "handmade in Kyoto", "as worn by celebrities", "No.1 choice", "g.u.a.r.a.n.t.e.e.d",
        "gluten-free",
    ),
    "zh": (
        "现价仅需9.9元", "立减50%", "十年质保", "全国包邮", "耐克联名", "三星同款", "意大利进口", "百分百真丝",
        "防水透气面料升级",
        "获奖之作", "万人好评", "五星评分", "最后机会", "仅剩2件", "临床验证", "全网最佳", "有机认证", "买一送一",
        "续航30小时",
        "手工制作", "明星同款", "销量第一", "最·佳·选·择", "零添加",
    ),
}  # fmt: skip


class Inventor:
    """The server, as a context: `url` is its base address. lied: answers with an invented fact so far. invented: all
    that it may add."""

    def __init__(self, share: float, chance: Chance) -> None:
        self.share, self._rng = share, chance.stream("lies")
        self._lock = threading.Lock()
        self.lied = 0
        self.invented = tuple(lie for lies in LIES.values() for lie in lies)
        inventor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                prompt = json.loads(self.rfile.read(size))["messages"][0]["content"]
                answer = {"choices": [{"message": {"content": inventor.answer(prompt)}}]}
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def answer(self, prompt: str) -> str:
        """A text about the facts in the prompt, sometimes with a lie in it, in a form that models answer in."""
        facts = json.loads(next(line for line in prompt.splitlines() if line.startswith("{")))
        chinese = "Chinese" in prompt
        with self._lock:
            rng = self._rng
            text = self._text(facts, chinese, "button" in prompt)
            if rng.random() < self.share:
                self.lied += 1
                told = " ".join(facts.values()).lower()
                lies = [lie for lie in LIES["zh" if chinese else "en"] if lie.lower().split(" ")[-1] not in told]
                lie = lies[int(rng.integers(len(lies)))]
                text = f"{text}，{lie}" if chinese else (f"{text}, {lie}", f"{lie}: {text}")[int(rng.integers(2))]
            form = int(rng.integers(3))
        plain = json.dumps({"text": text}, ensure_ascii=False)
        return (plain, f"```json\n{plain}\n```", f"Sure! Here it is: {plain}")[form]

    def _text(self, facts: dict[str, str], chinese: bool, button: bool) -> str:
        if button:
            return ("看看详情", "去看看")[int(self._rng.integers(2))] if chinese else "See more"
        title = facts.get("title", "")
        traits = [s for s in ("material", "style", "colour", "pattern", "category", "brand") if s in facts]
        trait = facts[traits[int(self._rng.integers(len(traits)))]] if traits else ""
        if chinese:
            return f"遇见{title}" + (f"，{trait}" if trait else "")
        return f"Meet {title}" + (f", {trait}" if trait else "")

    def __enter__(self) -> Inventor:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()
