"""A page to look at all banners with what they say and why, and one picture of many for a quick look."""

from __future__ import annotations

import base64
import html
import io

from PIL import Image

from zhitou.creative.shelf import Shelf

_STYLE = """
body{margin:0;padding:32px;font:14px/1.5 system-ui,sans-serif;color:#1c2430;background:#f4f5f7}
h1{margin:0 0 4px;font-size:24px}p{margin:0 0 20px;color:#556}
section{display:grid;grid-template-columns:repeat(auto-fill,minmax(340px,1fr));gap:20px}
section.wide{grid-template-columns:repeat(auto-fill,minmax(760px,1fr))}
figure{margin:0;padding:16px;border-radius:10px;background:#fff;box-shadow:0 1px 3px #0002}
figure img{display:block;max-width:100%}figcaption{margin-top:10px;font-size:12px;color:#556}
h2{margin:32px 0 12px;font-size:17px}table{border-collapse:collapse;background:#fff;font-size:13px}
td,th{padding:6px 12px;border-bottom:1px solid #e4e6ea;text-align:left}details summary{cursor:pointer}
"""


def gallery_html(shelf: Shelf, limit: int = 120) -> str:
    """One self-contained page: pictures as data, the slots behind each text, and what the review refused.

    At most `limit` banners of each size are shown; the counts in the heading are of all.
    """
    sizes = list(dict.fromkeys(tuple(r["size"]) for r in shelf.records))
    parts = []
    for size in sizes:
        shown = [r for r in shelf.records if tuple(r["size"]) == size and r["creative_id"]]
        kept = [r for r in shown if r["creative_id"] not in shelf.withdrawn][:limit]
        figures = "".join(_figure(shelf, record) for record in kept)
        wide = ' class="wide"' if size[0] > 400 else ""
        parts.append(f"<h2>{size[0]} × {size[1]}: {len(kept)} of {len(shown)}</h2><section{wide}>{figures}</section>")
    summary = (
        f"{len(shelf)} banners approved, {len(shelf.rejected)} refused by the review,"
        f" {len(shelf.withdrawn)} withdrawn. Seed {shelf.manifest['seed']}."
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Creatives</title>'
        f"<style>{_STYLE}</style></head>"
        f"<body><h1>Creatives</h1><p>{summary}</p>{''.join(parts)}{_refused(shelf)}</body></html>"
    )


def _figure(shelf: Shelf, record: dict) -> str:
    data, _ = shelf.content(record["creative_id"], "png")
    picture, (w, h) = base64.b64encode(data).decode(), record["size"]
    title = html.escape(record["facts"]["title"])
    rows = "".join(_row(t["role"], t["text"], t["template"]) for t in record["texts"])
    genes = html.escape(", ".join(f"{k} {v}" for k, v in record["genes"].items()))
    weight = f"{record['files']['png']['bytes'] / 1000:.1f} kB"
    return (
        f'<figure><img width="{w}" height="{h}" alt="{title}" src="data:image/png;base64,{picture}">'
        f"<figcaption><details><summary>{record['creative_id']} · {record['angle']} · {weight}</summary>"
        f"<p>feed: {title}</p><table>{rows}</table><p>{genes}</p></details></figcaption></figure>"
    )


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells)}</tr>"


def _refused(shelf: Shelf) -> str:
    if not shelf.rejected:
        return ""
    rows = "".join(
        _row(r["ad_id"], r["facts"]["title"], f"{r['size'][0]} × {r['size'][1]}", rule, detail)
        for r in shelf.rejected
        for rule, detail in r["findings"]
    )
    return f"<h2>Refused</h2><table>{_row('ad', 'feed title', 'size', 'rule', 'found')}{rows}</table>"


def contact_sheet(shelf: Shelf, size: tuple[int, int], columns: int = 4, rows: int = 4, gap: int = 12) -> bytes:
    """PNG of the first columns x rows banners of this size."""
    w, h = size
    ids = [r["creative_id"] for r in shelf.records if tuple(r["size"]) == size and r["creative_id"]]
    sheet = Image.new("RGB", (columns * (w + gap) + gap, rows * (h + gap) + gap), "#d7dae0")
    for number, creative_id in enumerate([i for i in ids if i not in shelf.withdrawn][: columns * rows]):
        with Image.open(io.BytesIO(shelf.content(creative_id, "png")[0])) as banner:
            sheet.paste(banner, (gap + number % columns * (w + gap), gap + number // columns * (h + gap)))
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()
