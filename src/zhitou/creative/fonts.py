"""Fonts of this machine: where they are, which characters they have, how wide a text is.

Looked for in the usual folders, in $ZHITOU_FONTS, and last in the DejaVu files that matplotlib carries, so that
Latin text is always drawn. A character no font has is an error that names the package to install.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import struct
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from zhitou.core.errors import ConfigError, SourceError

WEIGHTS = ("regular", "bold")
FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.local/share/fonts",
    "~/.fonts",
    "/Library/Fonts",
    "/System/Library/Fonts",
    "C:/Windows/Fonts",
)

# (regular file, bold file, number of the face inside the file), the best-looking first.
_LATIN = (
    ("Inter-Regular.otf", "Inter-Bold.otf", 0),
    ("Lato-Regular.ttf", "Lato-Bold.ttf", 0),
    ("NotoSans-Regular.ttf", "NotoSans-Bold.ttf", 0),
    ("DejaVuSansCondensed.ttf", "DejaVuSansCondensed-Bold.ttf", 0),
    ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", 0),
)
_CJK = (
    ("NotoSansCJK-Regular.ttc", "NotoSansCJK-Bold.ttc", 2),
    ("NotoSansSC-Regular.otf", "NotoSansSC-Bold.otf", 0),
    ("SourceHanSansSC-Regular.otf", "SourceHanSansSC-Bold.otf", 0),
    ("NotoSansCJKsc-Regular.otf", "NotoSansCJKsc-Bold.otf", 0),
    ("wqy-microhei.ttc", "wqy-microhei.ttc", 0),
    ("wqy-zenhei.ttc", "wqy-zenhei.ttc", 0),
    ("msyh.ttc", "msyhbd.ttc", 0),
    ("PingFang.ttc", "PingFang.ttc", 2),
)


class MissingGlyphError(ConfigError):
    """A character that no font on this machine can draw."""

    code = "missing_glyph"


@dataclass(frozen=True)
class Face:
    """One font file. `starts` and `ends` are the sorted ranges of characters it has."""

    path: Path
    index: int
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def has(self, char: str) -> bool:
        """Whether the file has a glyph for this character."""
        at = bisect_right(self.starts, ord(char)) - 1
        return at >= 0 and ord(char) <= self.ends[at]

    @property
    def sha256(self) -> str:
        """Hash of the file: two machines draw the same bytes if these agree."""
        return _hash(self.path)


class Fonts:
    """The faces of this machine: one Latin and, where there is one, one Chinese family, in two weights."""

    def __init__(self, folders: tuple[Path, ...] | None = None) -> None:
        files = _font_files(folders if folders is not None else font_folders())
        self.families: dict[str, dict[str, Face]] = {}
        for family, wanted in (("latin", _LATIN), ("cjk", _CJK)):
            for regular, bold, index in wanted:
                if regular in files and bold in files:
                    self.families[family] = {
                        "regular": read_face(files[regular], index),
                        "bold": read_face(files[bold], index),
                    }
                    break
        if not self.families:
            raise SourceError("no font found; install Debian's fonts-dejavu-core, or set ZHITOU_FONTS to a folder")
        self._widths: dict[tuple[str, str, int], float] = {}
        self._family: dict[tuple[str, str], str] = {}

    def family(self, text: str, weight: str) -> str:
        """The family that draws this text: "latin" if it has every character, else "cjk".

        Refused (MissingGlyphError): a text with a character that neither has.
        """
        key = (text, weight)
        if key not in self._family:
            self._family[key] = self._find(text, weight)
        return self._family[key]

    def _find(self, text: str, weight: str) -> str:
        missing = ""
        for family, faces in self.families.items():
            lacking = [ch for ch in text if not faces[weight].has(ch)]
            if not lacking:
                return family
            missing = lacking[0]
        cure = "install Debian's fonts-noto-cjk" if "cjk" not in self.families else "leave the character out"
        raise MissingGlyphError(f"no font here draws {missing!r} (U+{ord(missing):04X}); {cure} or set ZHITOU_FONTS")

    def font(self, text: str, weight: str, size: int) -> ImageFont.FreeTypeFont:
        """The Pillow font that draws this text."""
        face = self.families[self.family(text, weight)][weight]
        return _load(face.path, face.index, size)

    def width(self, text: str, weight: str, size: int) -> float:
        """Advance width in pixels."""
        key = (text, weight, size)
        found = self._widths.get(key)
        if found is None:
            found = self._widths[key] = self.font(text, weight, size).getlength(text)
        return found

    def fingerprint(self) -> dict[str, str]:
        """File name and hash of each face, for the manifest."""
        faces = [face for family in self.families.values() for face in family.values()]
        return {face.path.name: face.sha256 for face in faces}


def font_folders() -> tuple[Path, ...]:
    """$ZHITOU_FONTS (folders joined by the system's separator), the usual folders, then matplotlib's own."""
    own = [Path(p) for p in os.environ.get("ZHITOU_FONTS", "").split(os.pathsep) if p]
    return (*own, *(Path(p).expanduser() for p in FOLDERS), *matplotlib_folder())


def matplotlib_folder() -> tuple[Path, ...]:
    """The folder of the DejaVu files that matplotlib carries; empty if it is not installed. Imports nothing."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return ()
    return (Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf",)


def _font_files(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Name -> path of every font file; the first folder that has a name wins."""
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.is_dir():
            for path in sorted(folder.rglob("*.[to]t[fc]")):
                found.setdefault(path.name, path)
    return found


@lru_cache(maxsize=32)
def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=512)
def _load(path: Path, index: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size, index=index, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=32)
def read_face(path: Path, index: int = 0) -> Face:
    """The face and its character ranges, read from the file's cmap table (OpenType, formats 4 and 12)."""
    with path.open("rb") as file:
        file.seek(0)
        head = 0
        if file.read(4) == b"ttcf":
            file.seek(12 + 4 * index)
            (head,) = struct.unpack(">I", file.read(4))
        file.seek(head + 4)
        (count,) = struct.unpack(">H", file.read(2))
        file.seek(head + 12)
        table = file.read(16 * count)
        at = next(
            (
                struct.unpack(">II", table[i + 8 : i + 16])
                for i in range(0, len(table), 16)
                if table[i : i + 4] == b"cmap"
            ),
            None,
        )
        if at is None:
            raise SourceError(f"{path.name} has no character map; remove it or choose another font")
        file.seek(at[0])
        ranges = _ranges(file.read(at[1]))
    return Face(path, index, tuple(r[0] for r in ranges), tuple(r[1] for r in ranges))


def _ranges(cmap: bytes) -> list[tuple[int, int]]:
    (count,) = struct.unpack(">H", cmap[2:4])
    offsets = [struct.unpack(">HHI", cmap[4 + 8 * i : 12 + 8 * i])[2] for i in range(count)]
    by_format = {struct.unpack(">H", cmap[o : o + 2])[0]: o for o in offsets}
    if 12 in by_format:
        start = by_format[12]
        (groups,) = struct.unpack(">I", cmap[start + 12 : start + 16])
        rows = struct.iter_unpack(">III", cmap[start + 16 : start + 16 + 12 * groups])
        return sorted((first, last) for first, last, _ in rows)
    start = by_format[4]
    (double,) = struct.unpack(">H", cmap[start + 6 : start + 8])
    segments = double // 2
    ends = struct.unpack(f">{segments}H", cmap[start + 14 : start + 14 + double])
    starts = struct.unpack(f">{segments}H", cmap[start + 16 + double : start + 16 + 2 * double])
    return sorted((a, b) for a, b in zip(starts, ends, strict=True) if a != 0xFFFF)
