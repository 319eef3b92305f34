"""A mouth whose shape follows opening, width, rounding and smile continuously: lips, dark interior, teeth, tongue.

The inner gap grows linearly with the opening, up to `GAP` mouth widths, so that the truth can be read from the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.character import Pose
from polytalk.synthetic.characters.vector.colours import Colour, argb, brightness, darker, lighter, mix
from polytalk.synthetic.characters.vector.kit import Brush, fill, linear, stroke
from polytalk.synthetic.characters.vector.paths import oval

GAP = 0.46
"""Height of the gap between the lips at opening 1, in mouth widths (width 0.5, rounding 0)."""


@dataclass(frozen=True)
class Mouth:
    """One person's mouth, drawn around its own centre in head heights."""

    base: float
    """Width of the relaxed mouth."""
    upper: float
    """Thickness of the upper lip."""
    lower: float
    """Thickness of the lower lip."""
    lips: bool
    """Whether coloured lips are drawn, or a line alone (cartoons, animals)."""
    upper_paint: skia.Paint
    lower_paint: skia.Paint
    inside: skia.Paint
    line: skia.Paint
    teeth: skia.Paint | None
    tongue: skia.Paint
    contour: skia.Paint | None

    @classmethod
    def drawn(cls, rng: np.random.Generator, brush: Brush, skin: Colour, base: float, full: float, lips: bool) -> Mouth:
        """Mouth of width `base` on this skin; `full` (0..1) is how full and red its lips are."""
        thick = base * (0.085 + 0.11 * full)
        dark_skin = brightness(skin) < 0.42
        rose = mix((0.78, 0.30, 0.32), (0.62, 0.25, 0.28), float(rng.random()))
        lip = mix(darker(skin, 0.12), rose, 0.35 + 0.5 * full)
        if dark_skin:
            lip = mix(mix(skin, (0.75, 0.35, 0.36), 0.45), (0.6, 0.18, 0.24), 0.5 * full)
        upper, lower = fill(darker(lip, 0.1)), fill(lip)
        if brush.soft:
            upper = linear((0, -0.05), (0, 0.04), [argb(lip), argb(darker(lip, 0.28))])
            lower = linear((0, 0.0), (0, 0.2), [argb(lighter(lip, 0.1)), argb(darker(lip, 0.12))])
        inside_colour = mix((0.20, 0.05, 0.07), (0.10, 0.03, 0.05), float(rng.random()))
        seam = mix(darker(lip if lips else skin, 0.62), (0.15, 0.05, 0.06), 0.55)
        teeth = fill(mix((0.97, 0.95, 0.91), (0.93, 0.88, 0.80), float(rng.random())))
        tongue = fill(mix((0.72, 0.31, 0.33), (0.62, 0.22, 0.26), float(rng.random())))
        contour = brush.contour(lip, 0.7) if brush.style == "outlined" and rng.random() < 0.6 else None
        line = stroke(seam, max(0.013, 0.75 * brush.line) if lips else 0.019)
        return cls(
            base, thick, 1.25 * thick, lips, upper, lower, fill(inside_colour), line,
            teeth if rng.random() < 0.85 else None, tongue, contour,
        )  # fmt: skip

    def gap(self, opening: float) -> float:
        """Height of the gap between the lips in head heights."""
        return GAP * self.base * opening

    def half_width(self, pose: Pose) -> float:
        """Half the distance between the corners."""
        spread = 0.80 + 0.40 * pose.width + 0.12 * max(pose.smile, 0.0)
        return 0.5 * self.base * spread * (1.0 - 0.42 * pose.rounding)

    def reach(self) -> tuple[float, float, float]:
        """Half width, height above and height below the centre that no pose leaves."""
        return 0.70 * self.base, 0.30 * GAP * self.base + 2.0 * self.upper, 0.8 * GAP * self.base + 1.6 * self.lower

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Draw it at the canvas's origin."""
        half, gap = self.half_width(pose), self.gap(pose.opening)
        pout = 1.0 + 0.55 * pose.rounding
        corner = -0.16 * self.base * pose.smile
        top, bottom = -0.26 * gap, 0.74 * gap
        sag = 0.10 * self.base * pose.smile
        inner_upper, inner_lower = top + 0.5 * sag, bottom + sag
        if self.lips:
            self._draw_lips(canvas, half, corner, inner_upper, inner_lower, pout)
        inner = 0.94 * half
        path = skia.Path()
        path.moveTo(-inner, corner)
        path.cubicTo(-0.62 * inner, inner_upper - 0.03 * gap, -0.3 * inner, inner_upper, 0, inner_upper)
        path.cubicTo(0.3 * inner, inner_upper, 0.62 * inner, inner_upper - 0.03 * gap, inner, corner)
        path.cubicTo(0.74 * inner, 0.75 * inner_lower, 0.4 * inner, inner_lower, 0, inner_lower)
        path.cubicTo(-0.4 * inner, inner_lower, -0.74 * inner, 0.75 * inner_lower, -inner, corner)
        path.close()
        if gap > 0.004:
            canvas.drawPath(path, self.inside)
            self._draw_inside(canvas, path, inner, gap, inner_upper, inner_lower)
            if not self.lips:
                canvas.drawPath(path, self.line)
        else:
            canvas.drawPath(path, self.line)

    def _draw_inside(
        self, canvas: skia.Canvas, path: skia.Path, inner: float, gap: float, upper: float, lower: float
    ) -> None:
        """Tongue and upper teeth: a part of the gap only, so that darkness grows with the opening."""
        # Small openings are dark alone, so that even they are seen.
        spare = gap - 0.026
        if spare <= 0.0:
            return
        with skia.AutoCanvasRestore(canvas):
            canvas.clipPath(path, doAntiAlias=True)
            canvas.drawPath(oval(0, lower + 0.12 * spare, 0.58 * inner, 0.38 * spare), self.tongue)
            if self.teeth is not None:
                height = min(0.34 * spare, 0.085 * self.base)
                canvas.drawPath(oval(0, upper - 0.3 * gap, 0.80 * inner, 0.3 * gap + height), self.teeth)

    def _draw_lips(
        self, canvas: skia.Canvas, half: float, corner: float, upper: float, lower: float, pout: float
    ) -> None:
        above, below = upper - self.upper * pout, lower + self.lower * pout
        bow = 0.45 * self.upper
        path = skia.Path()
        path.moveTo(-half, corner)
        path.cubicTo(-0.7 * half, 0.4 * above, -0.42 * half, above, -0.2 * half, above)
        path.cubicTo(-0.1 * half, above, -0.06 * half, above + bow, 0, above + bow)
        path.cubicTo(0.06 * half, above + bow, 0.1 * half, above, 0.2 * half, above)
        path.cubicTo(0.42 * half, above, 0.7 * half, 0.4 * above, half, corner)
        upper_edge = skia.Path(path)
        path.cubicTo(0.5 * half, upper + 0.004, -0.5 * half, upper + 0.004, -half, corner)
        path.close()
        under = skia.Path()
        under.moveTo(-half, corner)
        under.cubicTo(-0.72 * half, 0.9 * lower + 0.5 * self.lower, -0.4 * half, below, 0, below)
        under.cubicTo(0.4 * half, below, 0.72 * half, 0.9 * lower + 0.5 * self.lower, half, corner)
        under.cubicTo(0.5 * half, upper - 0.004, -0.5 * half, upper - 0.004, -half, corner)
        under.close()
        canvas.drawPath(under, self.lower_paint)
        canvas.drawPath(path, self.upper_paint)
        if self.contour is not None:
            canvas.drawPath(under, self.contour)
            canvas.drawPath(upper_edge, self.contour)
