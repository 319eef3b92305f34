"""Eyes, brows, noses and glasses of the vector characters, in head heights around their own anchors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import skia

from polytalk.synthetic.characters.character import Pose
from polytalk.synthetic.characters.vector.colours import Colour, argb, brightness, darker, lighter, mix
from polytalk.synthetic.characters.vector.kit import Brush, fill, glow, placed, radial, stroke
from polytalk.synthetic.characters.vector.paths import smooth


@dataclass(frozen=True)
class Eyes:
    """A pair of eyes with gaze, lids, lashes and brows."""

    kind: str
    """"full" (white, iris, pupil), "button" (a dark dot) or "animal" (round iris fills the eye)."""
    apart: float
    """Distance from the middle line."""
    y: float
    half_width: float
    half_height: float
    brow_lift: float
    """Height of the brows above the eyes."""
    white: skia.Paint
    iris: skia.Paint
    pupil: skia.Paint
    shine: skia.Paint
    lid: skia.Paint
    lash: skia.Paint
    crease: skia.Paint | None
    brow: skia.Paint | None
    socket: skia.Paint | None

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, brush: Brush, skin: Colour, hair: Colour, kind: str, lashes: float, animal: bool
    ) -> Eyes:
        """Eyes on this skin with brows like this hair; `lashes` (0..1) is how strong the upper line is."""
        brown, blue, green, grey = (0.32, 0.19, 0.10), (0.27, 0.45, 0.66), (0.33, 0.48, 0.30), (0.42, 0.46, 0.50)
        shares = [0.6, 0.16, 0.12, 0.12] if brightness(skin) > 0.6 else [0.92, 0.02, 0.04, 0.02]
        iris_colour = (brown, blue, green, grey)[rng.choice(4, p=shares)]
        if animal:
            iris_colour = ((0.75, 0.55, 0.12), (0.42, 0.62, 0.25), (0.36, 0.22, 0.10), (0.3, 0.5, 0.7))[rng.integers(4)]
        iris_colour = mix(iris_colour, (rng.random(), rng.random(), rng.random()), 0.06)
        scale = rng.uniform(0.9, 1.15) * (1.12 if brush.style != "painted" else 0.95)
        half_width = 0.068 * scale
        half_height = half_width * rng.uniform(0.52, 0.66)
        if kind == "button":
            half_width = half_height = rng.uniform(0.027, 0.036)
        elif kind == "animal":
            half_width = rng.uniform(0.065, 0.085)
            half_height = half_width * rng.uniform(0.85, 1.05)
        elif brush.style == "flat" and rng.random() < 0.5:
            half_height = half_width * rng.uniform(0.7, 0.95)
        iris = fill(iris_colour)
        if brush.soft:
            colours = [argb(lighter(iris_colour, 0.25)), argb(iris_colour), argb(darker(iris_colour, 0.55))]
            iris = radial(0.0, 0.4 * half_height, 1.1 * half_height, colours, [0.0, 0.55, 1.0])
        dark = mix(darker(hair, 0.6), (0.08, 0.05, 0.06), 0.6)
        brow_colour = darker(hair, 0.25) if brightness(hair) > 0.3 else mix(hair, (0.05, 0.04, 0.04), 0.3)
        brow = None if kind == "animal" else stroke(brow_colour, float(rng.uniform(0.018, 0.034)))
        socket = glow(0, -0.3 * half_height, 2.1 * half_width, darker(skin, 0.45), 0.30) if brush.soft else None
        crease = stroke(darker(skin, 0.4), 0.008, 0.7) if kind == "full" and rng.random() < 0.7 else None
        return cls(
            kind=kind,
            apart=float(rng.uniform(0.158, 0.182)) if kind != "animal" else float(rng.uniform(0.165, 0.20)),
            y=float(rng.uniform(-0.03, 0.02)),
            half_width=float(half_width),
            half_height=float(half_height),
            brow_lift=float(rng.uniform(0.085, 0.115)) + (half_height - 0.04),
            white=fill(mix((0.99, 0.98, 0.96), skin, 0.06 if not brush.soft else 0.16)),
            iris=iris,
            pupil=fill((0.05, 0.04, 0.05)),
            shine=fill((1, 1, 1), 0.9),
            lid=fill(darker(skin, 0.10)),
            lash=stroke(dark, 0.010 + 0.011 * lashes),
            crease=crease,
            brow=brow,
            socket=socket,
        )  # fmt: skip

    def draw(self, canvas: skia.Canvas, pose: Pose, shift: float) -> None:
        """Draw both eyes and brows; `shift` is how far the features have moved sideways with the turn of the head."""
        for side in (-1.0, 1.0):
            # The eye that turns away is foreshortened.
            narrow = 1.0 - 0.30 * max(0.0, side * pose.yaw)
            with placed(canvas, side * self.apart * (1.0 - 0.16 * abs(pose.yaw)) + shift, self.y):
                canvas.scale(narrow, 1.0)
                if self.socket is not None:
                    canvas.drawCircle(0, -0.3 * self.half_height, 2.1 * self.half_width, self.socket)
                if self.kind == "button":
                    self._draw_button(canvas, pose)
                else:
                    self._draw_eye(canvas, pose, side)
                if self.brow is not None:
                    self._draw_brow(canvas, pose, side)

    def _draw_button(self, canvas: skia.Canvas, pose: Pose) -> None:
        canvas.translate(0.02 * pose.gaze_x, 0.012 * pose.gaze_y)
        half = self.half_height
        if pose.blink > 0.6:
            canvas.drawLine(-half, 0.2 * half, half, 0.2 * half, self.lash)
            return
        canvas.drawOval(skia.Rect(-half, -half * (1 - pose.blink), half, half), self.pupil)
        canvas.drawCircle(0.3 * half, -0.3 * half * (1 - pose.blink), 0.28 * half, self.shine)

    def _draw_eye(self, canvas: skia.Canvas, pose: Pose, side: float) -> None:
        width, height = self.half_width, self.half_height
        squint = 0.12 * max(pose.smile, 0.0)
        upper = -height * (1.0 - 1.9 * pose.blink * 0.85)
        lower = height * (0.85 - squint)
        upper = min(upper, lower)
        outer = -0.12 * height
        path = skia.Path()
        path.moveTo(-width * side, 0.1 * height)
        path.cubicTo(-0.55 * width * side, 1.3 * upper, 0.5 * width * side, 1.35 * upper, width * side, outer)
        edge = skia.Path(path)
        path.cubicTo(0.55 * width * side, 1.2 * lower, -0.5 * width * side, 1.2 * lower, -width * side, 0.1 * height)
        path.close()
        if pose.blink < 0.85:
            radius = (0.98 if self.kind == "full" else 0.62) * min(height, 0.62 * width)
            with skia.AutoCanvasRestore(canvas):
                canvas.clipPath(path, doAntiAlias=True)
                canvas.drawPath(path, self.iris if self.kind == "animal" else self.white)
                canvas.translate(0.38 * width * pose.gaze_x, 0.30 * height * pose.gaze_y - 0.05 * height)
                if self.kind == "full":
                    canvas.drawCircle(0, 0, radius, self.iris)
                canvas.drawCircle(0, 0, 0.52 * radius if self.kind == "full" else radius, self.pupil)
                canvas.drawCircle(0.34 * radius, -0.38 * radius, 0.27 * radius, self.shine)
        canvas.drawPath(edge, self.lash)
        if self.crease is not None:
            canvas.drawLine(-0.6 * width, -1.55 * height, 0.7 * width, -1.5 * height, self.crease)

    def _draw_brow(self, canvas: skia.Canvas, pose: Pose, side: float) -> None:
        assert self.brow is not None
        width = 1.25 * max(self.half_width, 0.06)
        lift = -self.brow_lift - 0.04 * pose.brow
        frown = 0.03 * min(pose.brow, 0.0)
        path = skia.Path()
        path.moveTo(-0.75 * width * side, lift + 0.012 - frown)
        path.quadTo(0.2 * width * side, lift - 0.028, width * side, lift + 0.018)
        canvas.drawPath(path, self.brow)


@dataclass(frozen=True)
class Nose:
    """A nose around its tip."""

    kind: str
    """"soft" (shaded), "side" (a stroke), "dot" (round) or "animal" (a dark snout)."""
    half_width: float
    length: float
    line: skia.Paint
    body: skia.Paint
    shade: skia.Paint
    shine: skia.Paint

    @classmethod
    def drawn(cls, rng: np.random.Generator, brush: Brush, skin: Colour, kind: str) -> Nose:
        """Nose on this skin."""
        half_width = float(rng.uniform(0.045, 0.068))
        length = float(rng.uniform(0.15, 0.20))
        body = fill(mix(darker(skin, 0.16), (0.8, 0.3, 0.25), 0.12))
        if kind == "animal":
            half_width = float(rng.uniform(0.055, 0.085))
            body = fill(mix((0.14, 0.10, 0.10), (0.62, 0.36, 0.36), float(rng.random() ** 2)))
        shade = glow(-0.6 * half_width * brush.light, -0.01, 1.9 * half_width, darker(skin, 0.5), 0.45)
        line = stroke(darker(skin, 0.45), max(0.011, 0.7 * brush.line))
        return cls(kind, half_width, length, line, body, shade, glow(0, -0.015, 0.05, (1, 0.97, 0.9), 0.45))

    def draw(self, canvas: skia.Canvas, pose: Pose, light: float) -> None:
        """Draw it at the canvas's origin, the tip of the nose."""
        width = self.half_width
        if self.kind == "animal":
            corners = ((-1, -0.35), (0, -0.6), (1, -0.35), (0.35, 0.6), (-0.35, 0.6))
            canvas.drawPath(smooth([(width * x, width * y) for x, y in corners], tension=0.2), self.body)
            canvas.drawOval(skia.Rect(-0.4 * width, -0.45 * width, 0.2 * width, -0.15 * width), self.shine)
        elif self.kind == "dot":
            canvas.drawOval(skia.Rect(-width, -0.7 * width, width, 0.7 * width), self.body)
        elif self.kind == "side":
            turn = 1.0 if pose.yaw + 0.2 * light >= 0 else -1.0
            path = skia.Path()
            path.moveTo(-0.15 * width * turn, -0.7 * self.length)
            path.quadTo(1.25 * width * turn, 0.1 * width, 0.9 * width * turn, 0.35 * width)
            path.quadTo(0.4 * width * turn, 0.75 * width, -0.4 * width * turn, 0.45 * width)
            canvas.drawPath(path, self.line)
        else:
            self._draw_soft(canvas, light)

    def _draw_soft(self, canvas: skia.Canvas, light: float) -> None:
        width = self.half_width
        side = -1.0 if light > 0 else 1.0
        ridge = ((0.1, -self.length), (0.62, -0.5 * self.length), (1.35, 0.15 * width), (0, 0.5 * width),
                 (0.1, -0.4 * self.length))  # fmt: skip
        bridge = smooth([(x * width * side, y) for x, y in ridge])
        canvas.drawPath(bridge, self.shade)
        canvas.drawCircle(0, 0, 1.9 * width, self.shade)
        canvas.drawCircle(0.15 * width * light, -0.015, 0.05, self.shine)
        path = skia.Path()
        path.moveTo(-1.02 * width, 0.12 * width)
        path.quadTo(-0.75 * width, 0.62 * width, -0.3 * width, 0.38 * width)
        path.quadTo(0, 0.66 * width, 0.3 * width, 0.38 * width)
        path.quadTo(0.75 * width, 0.62 * width, 1.02 * width, 0.12 * width)
        canvas.drawPath(path, self.line)


@dataclass(frozen=True)
class Glasses:
    """Spectacles in front of a pair of eyes."""

    half_width: float
    half_height: float
    corner: float
    frame: skia.Paint
    lens: skia.Paint

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Glasses:
        """Round or square, thin or thick."""
        half_height = float(rng.uniform(0.085, 0.115))
        half_width = float(rng.uniform(0.105, 0.128))
        colours = ((0.1, 0.09, 0.1), (0.35, 0.2, 0.12), (0.65, 0.5, 0.2), (0.6, 0.15, 0.18), (0.2, 0.25, 0.4))
        colour = colours[rng.integers(5)]
        frame = stroke(colour, float(rng.uniform(0.012, 0.026)))
        corner = float(rng.uniform(0.3, 1.0)) * half_height
        return cls(half_width, half_height, corner, frame, fill((0.9, 0.95, 1.0), 0.13))

    def draw(self, canvas: skia.Canvas, eyes: Eyes, pose: Pose, shift: float, face: float) -> None:
        """Draw them; `face` is the half width of the head at the eyes."""
        spread = eyes.apart * (1.0 - 0.16 * abs(pose.yaw)) + 0.006
        y = eyes.y + 0.012
        for side in (-1.0, 1.0):
            narrow = 1.0 - 0.25 * max(0.0, side * pose.yaw)
            x, half = side * spread + shift, self.half_width * narrow
            half = min(half, spread - 0.022)
            box = skia.Rect(x - half, y - self.half_height, x + half, y + self.half_height)
            canvas.drawRoundRect(box, self.corner, self.corner, self.lens)
            canvas.drawRoundRect(box, self.corner, self.corner, self.frame)
            canvas.drawLine(x + side * half, y - 0.03, side * face, y - 0.02, self.frame)
        canvas.drawLine(shift - 0.03, y - 0.015, shift + 0.03, y - 0.015, self.frame)


def cheek(brush: Brush, skin: Colour, strength: float) -> skia.Paint:
    """Blush for a cheek, around the origin."""
    warm = mix(skin, (0.92, 0.32, 0.30), 0.6)
    if brush.style in ("flat", "outlined"):
        return fill(warm, 0.35 * strength)
    return glow(0, 0, 0.12, warm, 0.55 * strength)
