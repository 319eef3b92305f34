"""Frames of the video that explains another: whom the network bound to which voice, and whose mouth moved when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from polytalk.casting.preview import COLOURS
from polytalk.units import FPS

PAGE_SECONDS = 10
"""The strip shows so much of a longer video at a time."""
LEGEND = "colour: whom the network binds a place to    white: where they were at the clip's first frame"
_STRIP_LEGEND = "filled: voice, line: motion of the mouth"
_WIDTH, _HEIGHT = 960, 720
"""Pixels that a small video is scaled up to at most, and the least width of the strip."""
_STRONGEST = 0.5
"""How much of a place's colour is the heat's where all attention goes to one person."""
_BACK, _INK, _FAINT = (24, 26, 30), (235, 235, 235), (120, 124, 130)
_ROW, _HEAD, _NAME, _CELL, _GAP = 46, 44, 110, 46, 8
"""Pixels of the strip: a person's row, its heading, the column of names, a cell of the matrix, space between."""
_FULL_MOTION = 0.25
"""Motion of a mouth that fills its row; more, once seen, becomes the measure."""


@dataclass(frozen=True, eq=False)
class Sight:
    """What the network saw in one latent frame; people without a voice in the clip have no heat and no labels."""

    heat: np.ndarray
    """float32 (P, rows, columns): share of the attention that goes to each person, 0..1."""
    labels: np.ndarray
    """int (rows, columns): the person that a place is bound to, P for nobody."""
    given: np.ndarray
    """bool (P, rows, columns): who was where in the clip's first frame."""


class OverlayPainter:
    """Paints frames one after the other.

    Args:
        size: (height, width) of the video.
        names: of the people, left column of the strip.
        voices: float (P, T), how loud each voice is in every frame of the video, 0..1.
    """

    def __init__(self, size: tuple[int, int], names: Sequence[str], voices: np.ndarray) -> None:
        height, width = size
        scale = max(1.0, min(_WIDTH / width, _HEIGHT / height))
        self.picture = (round(height * scale) // 2 * 2, round(width * scale) // 2 * 2)
        """(height, width) of the video in the overlay."""
        self.names, self.voices = list(names), voices
        self._page_frames = max(FPS, min(PAGE_SECONDS * FPS, voices.shape[1]))
        strip = _HEAD + _ROW * len(self.names) + _GAP
        self.size = (self.picture[0] + strip + strip % 2, max(_WIDTH, self.picture[1]))
        """(height, width) of the overlay, both even."""
        self._page: tuple[int, Image.Image] | None = None
        self._painted: tuple[Sight, _Layers] | None = None

    def paint(
        self, frame: np.ndarray, number: int, sight: Sight | None, motion: np.ndarray, scores: np.ndarray, note: str
    ) -> np.ndarray:
        """One frame of the overlay, uint8 (height, width, 3).

        Args:
            frame: uint8 (height, width, 3) of the video.
            number: of the frame in the video.
            sight: what the network saw there; None: nothing is known of it.
            motion: (P, number + 1): how much each mouth has moved in each frame until now.
            scores: (P, P) of mouth and voice; NaN is shown as a dash.
            note: a line over the picture.
        """
        canvas = Image.new("RGB", self.size[::-1], _BACK)
        left = (self.size[1] - self.picture[1]) // 2
        canvas.paste(self._scene(frame, sight), (left, 0))
        _text(canvas, (left + 8, 6), note, 16, _INK, edge=True)
        if sight is not None:
            _text(canvas, (left + 8, self.picture[0] - 20), LEGEND, 12, _INK, edge=True)
        canvas.paste(self._strip(number, motion, scores), (0, self.picture[0]))
        return np.asarray(canvas)

    def _scene(self, frame: np.ndarray, sight: Sight | None) -> Image.Image:
        picture = Image.fromarray(frame).resize(self.picture[::-1], Image.Resampling.BICUBIC)
        if sight is None:
            return picture
        if self._painted is None or self._painted[0] is not sight:
            self._painted = sight, _Layers.of(sight, self.picture)
        return self._painted[1].over(picture)

    def _strip(self, number: int, motion: np.ndarray, scores: np.ndarray) -> Image.Image:
        page = number // self._page_frames
        if self._page is None or self._page[0] != page:
            self._page = page, self._blank_page(page)
        strip = self._page[1].copy()
        draw = ImageDraw.Draw(strip)
        first, full = page * self._page_frames, max(_FULL_MOTION, float(motion.max(initial=0.0)))
        for person in range(len(self.names)):
            base = self._base(person)
            shown = motion[person, first : number + 1] / full
            line = [(self._x(i + 0.5), base - value * (_ROW - 12)) for i, value in enumerate(shown)]
            if len(line) > 1:
                draw.line(line, _INK, 2)
            self._matrix_row(strip, person, scores[person])
        now = self._x(number - first + 0.5)
        draw.line([(now, _HEAD - 4), (now, _HEAD + _ROW * len(self.names))], (255, 255, 255), 1)
        return strip

    @staticmethod
    def _base(person: int) -> int:
        """The line on which somebody's row stands."""
        return _HEAD + _ROW * (person + 1) - 6

    def _x(self, frame: float) -> float:
        """Where a frame of the page stands in the strip."""
        wide = self.size[1] - _NAME - _CELL * len(self.names) - 3 * _GAP
        return float(_NAME + frame / self._page_frames * wide)

    def _blank_page(self, page: int) -> Image.Image:
        """What does not change on a page: names, seconds, voices."""
        strip = Image.new("RGB", (self.size[1], self.size[0] - self.picture[0]), _BACK)
        draw, first = ImageDraw.Draw(strip), page * self._page_frames
        _text(strip, (_NAME, 4), _STRIP_LEGEND, 13, _FAINT)
        for frame in range(0, self._page_frames + 1, 2 * FPS if self._page_frames > 5 * FPS else FPS):
            x = self._x(frame)
            _text(strip, (x, _HEAD - 14), f"{(first + frame) / FPS:g} s", 12, _FAINT, "mm")
            draw.line([(x, _HEAD - 4), (x, _HEAD + _ROW * len(self.names))], (52, 55, 60), 1)
        for person, name in enumerate(self.names):
            colour, base = COLOURS[person % len(COLOURS)], self._base(person)
            dim = tuple(round(0.55 * part) for part in colour)
            draw.rectangle([8, base - 24, 20, base - 12], colour)
            _text(strip, (26, base - 18), name if len(name) < 12 else name[:10] + "…", 14, _INK, "lm")
            for i, value in enumerate(self.voices[person, first : first + self._page_frames]):
                if value > 0:
                    draw.rectangle([self._x(i), base - value * (_ROW - 12), self._x(i + 1), base], dim)
            draw.line([(_NAME, base), (self._x(self._page_frames), base)], dim, 1)
        self._matrix_head(strip)
        return strip

    def _cell_left(self, voice: int) -> int:
        return self.size[1] - _CELL * (len(self.names) - voice) - _GAP

    def _matrix_head(self, strip: Image.Image) -> None:
        _text(strip, (self.size[1] - _GAP, 4), "mouth follows voice", 13, _FAINT, "ra")
        for voice in range(len(self.names)):
            left, colour = self._cell_left(voice), COLOURS[voice % len(COLOURS)]
            ImageDraw.Draw(strip).rectangle([left + 2, _HEAD - 20, left + _CELL - 4, _HEAD - 4], colour)
            _text(strip, (left + _CELL / 2 - 1, _HEAD - 12), f"{voice + 1}", 13, (255, 255, 255), "mm")

    def _matrix_row(self, strip: Image.Image, person: int, scores: np.ndarray) -> None:
        """How well a mouth follows each voice: green for positive, red for negative correlations."""
        draw, top = ImageDraw.Draw(strip), _HEAD + _ROW * person + 6
        for voice, score in enumerate(scores):
            left, known = self._cell_left(voice), bool(np.isfinite(score))
            strength = min(1.0, abs(float(score))) if known else 0.0
            tint = (40, 150, 70) if known and score > 0 else (170, 50, 50)
            fill = tuple(round(b + strength * (t - b)) for b, t in zip((44, 47, 52), tint, strict=True))
            edge = _INK if voice == person else None
            draw.rectangle([left + 2, top, left + _CELL - 4, top + _ROW - 12], fill, edge, 2)
            text = f"{score:.2f}" if known else "?"
            _text(strip, (left + _CELL / 2 - 1, top + (_ROW - 12) / 2), text, 13, _INK, "mm")


@dataclass(frozen=True, eq=False)
class _Layers:
    """One latent frame's overlay at the picture's size."""

    tint: Image.Image
    """Everybody's colour, as strong as the attention (mode RGBA)."""
    outlines: Image.Image
    """Borders of what is bound to whom, and of where everybody was (mode RGBA)."""

    @classmethod
    def of(cls, sight: Sight, size: tuple[int, int]) -> _Layers:
        height, width = size
        large = [_scaled(each.astype(np.float32), size, Image.Resampling.BICUBIC).clip(0, 1) for each in sight.heat]
        total = np.maximum(sum(large), 1e-6)
        colours = [np.array(COLOURS[person % len(COLOURS)], np.float32) for person in range(len(large))]
        mixed = sum(heat[..., None] * colour for heat, colour in zip(large, colours, strict=True)) / total[..., None]
        strength = np.clip(np.max(large, axis=0) ** 1.5, 0, 1) * _STRONGEST * 255
        tint = np.dstack([mixed, strength]).clip(0, 255).astype(np.uint8)
        outlines = Image.new("RGBA", (width, height))
        for person, colour in enumerate(colours):
            _outline(outlines, sight.given[person], size, (255, 255, 255, 150), 1)
            _outline(outlines, sight.labels == person, size, (*(int(c) for c in colour), 255), 2)
        return cls(Image.fromarray(tint, "RGBA"), outlines)

    def over(self, picture: Image.Image) -> Image.Image:
        """The picture with the overlay on it."""
        whole = Image.alpha_composite(picture.convert("RGBA"), self.tint)
        return Image.alpha_composite(whole, self.outlines).convert("RGB")


def _outline(
    canvas: Image.Image, region: np.ndarray, size: tuple[int, int], colour: tuple[int, ...], wide: int
) -> None:
    """Draw the inner border of a region (rows, columns), so many pixels wide."""
    large = Image.fromarray(region.astype(np.uint8) * 255).resize(size[::-1], Image.Resampling.NEAREST)
    inner = large.filter(ImageFilter.MinFilter(2 * wide + 1))
    border = Image.fromarray(np.asarray(large) & ~np.asarray(inner))
    canvas.paste(colour, (0, 0), border)


def _scaled(values: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> np.ndarray:
    return np.asarray(Image.fromarray(values, "F").resize(size[::-1], how))


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _text(
    canvas: Image.Image,
    place: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    anchor: str = "la",
    edge: bool = False,
) -> None:
    stroke = {"stroke_width": 1, "stroke_fill": (0, 0, 0)} if edge else {}
    ImageDraw.Draw(canvas).text(place, text, colour, _font(size), anchor, **stroke)  # type: ignore[arg-type]
