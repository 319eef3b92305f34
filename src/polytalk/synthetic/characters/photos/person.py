"""Pictures of faces that speak: the picture is warped at the mouth and the mouth's inside is drawn.

Every picture has a sidecar, `anna.json` beside `anna.jpg`, in pixels of the picture as shown (EXIF rotation applied):

```json
{"face": [154, 16, 299, 179],
 "mouth": {"left": [203, 139.5], "right": [244, 141],
           "top": 139.5, "inner_top": 143, "inner_bottom": 149.5, "bottom": 154},
 "eyes": [[203, 101], [247, 103]],
 "name": "a woman in an orange space suit"}
```

`face` is the box left, top, right, bottom of the head from crown (hair included) to chin; without `eyes` nobody blinks.
`left` and `right` are the corners of the mouth as seen; the four heights are those of the upper lip's edges and of the
lower lip's edges on the middle line (`inner_top` = `inner_bottom` when the mouth is closed). A box
`"mouth": [left, top, right, bottom]` around a closed mouth does as well.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import skia
from PIL import Image, ImageOps

from polytalk.errors import PolytalkError
from polytalk.synthetic.characters.character import FaceGeometry, Pose
from polytalk.synthetic.characters.photos.portrait import Landmarks, Portrait
from polytalk.synthetic.characters.photos.variety import FaceShape, colour_matrix, varied
from polytalk.synthetic.characters.vector.body import Body
from polytalk.synthetic.characters.vector.colours import Colour, darker, mix
from polytalk.synthetic.characters.vector.kit import Brush, fill, placed, stroke
from polytalk.synthetic.characters.vector.paths import corners, polygon
from polytalk.synthetic.picture_io import bundled_folder

GAP = 0.37
"""Height of the gap between the lips at opening 1, in mouth widths."""
COLUMNS = np.linspace(-1, 1, 13)
"""Columns of the warp across the mouth; the drawn inside has the same, so that it covers the parting exactly."""
UPPER_SHARE = 0.22
"""Share of the gap by which the upper lip rises; the jaw does the rest."""
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def load_portraits(folder: Path) -> tuple[Portrait, ...]:
    """Portraits of all pictures in a folder that have a sidecar, in the order of their names.

    Raises:
        PolytalkError: there are none, or one cannot be read.
    """
    found = []
    for path in sorted(Path(folder).glob("*")):
        sidecar = path.with_suffix(".json")
        if path.suffix.lower() not in _SUFFIXES or not sidecar.exists():
            continue
        try:
            data = json.loads(sidecar.read_text())
            with Image.open(path) as opened:
                pixels = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
        except (OSError, ValueError) as error:
            remedy = "give a picture and a JSON file beside it"
            raise PolytalkError(str(path), f"cannot be read ({error})", remedy) from error
        found.append(Portrait.from_pixels(pixels, Landmarks.from_json(data, str(sidecar))))
    if not found:
        raise PolytalkError(str(folder), "no picture with a JSON file beside it", f"see {__name__} for its form")
    return tuple(found)


@lru_cache(maxsize=1)
def builtin_portraits() -> tuple[Portrait, ...]:
    """The astronaut of scikit-image (NASA, public domain).

    Raises:
        PolytalkError: scikit-image is not installed.
    """
    with Image.open(bundled_folder() / "astronaut.png") as opened:
        pixels = np.asarray(opened.convert("RGB"))
    marks = Landmarks(
        face=(154, 16, 299, 179),
        left=(203.2, 139.6),
        right=(243.9, 141.1),
        edges=(139.6, 143.3, 149.6, 153.9),
        eyes=((203.2, 101.3), (247.0, 103.0)),
        name="a woman with short blonde hair and an orange space suit",
    )
    return (Portrait.from_pixels(pixels, marks),)


class PhotoPerson:
    """Somebody in a picture, drawn as a tile of that picture (as in a video call). See `Character`."""

    style = "portrait"

    def __init__(self, rng: np.random.Generator, portraits: tuple[Portrait, ...]) -> None:
        self.portrait = portrait = portraits[rng.integers(len(portraits))]
        marks = portrait.landmarks
        self.mirror = bool(rng.random() < 0.5)
        left, right = np.array(marks.left), np.array(marks.right)
        self.middle, self.half = (left + right) / 2, float(np.linalg.norm(right - left) / 2)
        axis = (right - left) / (2 * self.half)
        self.axes = np.stack([axis, (-axis[1], axis[0])])
        # heights of the lips' edges against the line of the corners, in half mouth widths
        self.edges = (np.array(marks.edges) - self.middle[1]) / self.half
        self.centre = np.array([(marks.face[0] + marks.face[2]) / 2, (marks.face[1] + marks.face[3]) / 2])
        self._build_grid()
        self.shape_of_face, image = FaceShape(rng), varied(rng, portrait)
        tint = colour_matrix(rng)
        light = float(tint[:, :3].sum(axis=1).mean())

        def lit(first: Colour, second: Colour) -> skia.Paint:
            red, green, blue = mix(first, second, float(rng.random()))
            return fill((light * red, light * green, light * blue))

        self.inside = lit((0.32, 0.11, 0.11), (0.18, 0.06, 0.07))
        self.teeth = lit((0.90, 0.87, 0.83), (0.80, 0.75, 0.68))
        self.tongue = lit((0.68, 0.32, 0.33), (0.56, 0.24, 0.26))
        red, green, blue = np.clip(tint[:, :3] @ portrait.skin, 0, 1).tolist()
        skin: Colour = (red, green, blue)
        self.seam = stroke(darker(skin, 0.65), 0.035 * self.half, 0.65)
        self.lid, self.lash = fill(darker(skin, 0.06)), stroke(darker(skin, 0.6), 0.05 * self.half, 0.8)
        tile = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kNearest)
        self.paint = skia.Paint(
            Shader=image.makeShader(skia.TileMode.kClamp, skia.TileMode.kClamp, tile),
            ColorFilter=skia.ColorFilters.Matrix([*tint.ravel().tolist(), 0, 0, 0, 1, 0]),
            AntiAlias=True,
        )
        tone = mix((0.96, 0.96, 0.95), tuple(rng.random(3)), float(rng.random()))
        self.frame = stroke(tone, float(rng.uniform(0.012, 0.03)))
        self.body = Body.drawn(rng, Brush("painted", 0.5, 0.0, 0), skin, 0.8, 0.2)  # lends its hand

    def _build_grid(self) -> None:
        """Grid over the tile in the mouth's frame (u along the corners, v down; 1 is half a mouth width): fine at the
        mouth, with one row along each lip's inner edge, between which the picture is parted."""
        width, height = self.portrait.image.width(), self.portrait.image.height()
        rim = np.array([[0, 0], [width, 0], [width, height], [0, height]])
        local = (rim - self.middle) @ self.axes.T / self.half
        (u0, v0), (u1, v1) = local.min(axis=0), local.max(axis=0)
        sides = np.linspace(1.7, max(abs(u0), abs(u1)), 4)
        u = np.concatenate([-sides[::-1], [-1.25], COLUMNS, [1.25], sides]).round(4)
        above = np.concatenate([np.linspace(v0, -2.4, 3), [-1.6, -0.95, -0.5, -0.2, -0.07, 0.0]])
        below = np.concatenate([[0.0, 0.07, 0.2, 0.5, 0.95, 1.5, 2.2], np.linspace(3.0, max(v1, 3.5), 3)])
        offset = np.concatenate([above, below])
        lower = np.repeat([False, True], [len(above), len(below)])
        bow = np.clip(1 - u**2, 0, None)
        edge = np.where(lower[:, None], self.edges[2], self.edges[1]) * bow[None]
        v = offset[:, None] + edge * np.exp(-((offset / 0.8) ** 2))[:, None]
        self.source = np.stack([np.broadcast_to(u, v.shape), v], axis=-1).astype(np.float32)
        self.lower = lower
        self.offset = offset.astype(np.float32)
        rows, columns = v.shape
        index = np.arange(rows * columns).reshape(rows, columns)
        a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
        self.triangles = np.stack([a, b, c, a, c, d], axis=-1).ravel().tolist()
        self.texture = corners((self.source.reshape(-1, 2) * self.half) @ self.axes + self.middle)

    def _mouth(self, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Columns u in -1..1 with the heights of the upper and the lower lip's inner edge, and the mouth's spread."""
        u = COLUMNS
        seam = self._seam(u, pose)
        gap = self._gap(u, pose)
        return u, seam - UPPER_SHARE * gap, seam + (1 - UPPER_SHARE) * gap, self._spread(pose)

    def _gap(self, u: np.ndarray, pose: Pose) -> np.ndarray:
        return 2 * GAP * pose.opening * np.clip(1 - u**2, 0, None) ** 0.65

    def _seam(self, u: np.ndarray, pose: Pose) -> np.ndarray:
        """Where the closed lips would meet."""
        rest = 0.65 * self.edges[1] + 0.35 * self.edges[2]
        return (rest + 0.12 * pose.smile) * np.clip(1 - u**2, 0, None)

    def _spread(self, pose: Pose) -> float:
        return (0.86 + 0.28 * pose.width + 0.08 * max(pose.smile, 0)) * (1 - 0.34 * pose.rounding)

    def _warped(self, pose: Pose) -> np.ndarray:
        """(rows, columns, 2) grid in the mouth's frame after mouth, jaw and brows have moved."""
        u, v = self.source[..., 0], self.source[..., 1]
        bow = np.clip(1 - u**2, 0, None)
        seam, gap = self._seam(u, pose), self._gap(u, pose)
        near = np.exp(-((self.offset[:, None] / 0.85) ** 2))
        up = (seam - UPPER_SHARE * gap - self.edges[1] * bow) * near
        # the jaw moves as a whole: wider and wider below the lips, and down past the chin
        depth = np.clip(self.offset[:, None], 0, None)
        chin = (self.portrait.landmarks.face[3] - self.middle[1]) / self.half
        reach = np.clip(1 - (u / (1 + 0.9 * np.clip(depth, 0, 1.2))) ** 2, 0, None) ** 0.65
        fade = np.clip((chin * 1.35 - depth) / (chin * 0.6), 0, 1)
        fade = fade * fade * (3 - 2 * fade)
        down = (seam - self.edges[2] * bow) * near + (1 - UPPER_SHARE) * 2 * GAP * pose.opening * reach * fade
        moved = v + np.where(self.lower[:, None], down, up)
        far = self.offset[:, None] / np.where(self.lower[:, None], 1.3, 0.7)
        bell = np.exp(-((u / 2.1) ** 6) - far**4)
        corner = -0.14 * pose.smile * np.exp(-(((np.abs(u) - 1) / 0.6) ** 2)) * near
        brow = -0.16 * pose.brow * np.exp(-(((v - self._brow_height()) / 0.7) ** 2)) * (np.abs(u) < 3.0)
        return np.stack([u * (1 + (self._spread(pose) - 1) * bell), moved + corner + brow], axis=-1)

    def _brow_height(self) -> float:
        eyes = self.portrait.landmarks.eyes
        top = self.portrait.landmarks.face[1]
        height = np.mean([y for _, y in eyes]) if eyes else 0.55 * self.middle[1] + 0.45 * top
        return float((height - self.middle[1]) / self.half) - 0.55

    def _placed(self, spots: np.ndarray, pose: Pose) -> np.ndarray:
        """Points of the mouth's frame (..., 2) -> head heights around the head's middle, with the head's motion."""
        flat = (spots * self.half) @ self.axes + self.middle
        place = (flat - self.centre) / self.portrait.height
        place = self.shape_of_face(place)
        if self.mirror:
            place = place * (-1, 1)
        x, y = place[..., 0], place[..., 1]
        # the head moves about the neck, the shoulders and the tile's rim stay
        weight = np.exp(-((np.hypot(x / 0.62, (y + 0.06) / 0.70)) ** 4))
        angle = 0.55 * pose.roll
        turned_x = x * np.cos(angle) - (y - 0.55) * np.sin(angle) + 0.25 * pose.lean
        turned_y = x * np.sin(angle) + (y - 0.55) * np.cos(angle) + 0.55
        bulge = np.exp(-((x / 0.34) ** 2) - ((y - 0.1) / 0.4) ** 2)
        out_x = x + weight * (turned_x - x) + 0.055 * pose.yaw * bulge
        out_y = y + weight * (turned_y - y) + 0.035 * pose.pitch * bulge
        return np.stack([out_x, out_y], axis=-1)

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """See `Character`."""
        image = self.portrait.image
        rim = (np.array([[0, 0], [image.width(), image.height()]]) - self.centre) / self.portrait.height
        rim = np.sort(rim * (-1, 1), axis=0) if self.mirror else rim
        (left, top), (right, bottom) = rim + np.array([[0.02], [-0.02]])
        tile = skia.Rect.MakeLTRB(float(left), float(top), float(right), float(bottom))
        spots = self._placed(self._warped(pose), pose).reshape(-1, 2)
        mode = skia.Vertices.kTriangles_VertexMode
        mesh = skia.Vertices(mode, corners(spots), self.texture, None, self.triangles)
        with placed(canvas, pose.x - 0.75 * pose.lean * pose.size, pose.y, pose.size):
            with skia.AutoCanvasRestore(canvas):
                canvas.clipRect(tile)  # not antialiased: that costs more than the picture; the frame smoothes the edge
                canvas.drawVertices(mesh, self.paint)
                self._draw_inside(canvas, pose)
                self._draw_lids(canvas, pose)
            canvas.drawRect(tile, self.frame)
            self.body.draw_hand(canvas, pose)

    def _draw_inside(self, canvas: skia.Canvas, pose: Pose) -> None:
        u, upper, lower, spread = self._mouth(pose)
        smile = -0.14 * pose.smile * np.exp(-(((np.abs(u) - 1) / 0.6) ** 2))
        above = self._placed(np.stack([u * spread, upper + smile], axis=1), pose)
        below = self._placed(np.stack([u * spread, lower + smile], axis=1), pose)
        unit = self.half / self.portrait.height
        gap = float(below[6, 1] - above[6, 1])
        if gap < 0.05 * unit:
            seam = skia.Paint(self.seam)
            seam.setStrokeWidth(0.055 * unit)
            canvas.drawPath(polygon(above, closed=False), seam)
            return
        path = polygon(np.concatenate([above, below[::-1]]))
        canvas.drawPath(path, self.inside)
        wide = spread * unit
        x, y = (float(value) for value in below[6])
        tongue = skia.Rect.MakeLTRB(x - 0.6 * wide, y - 0.36 * gap, x + 0.6 * wide, y + 0.5 * gap)
        x, y = (float(value) for value in above[6])
        bite = min(0.36 * gap, 0.24 * wide)
        teeth = skia.Rect.MakeLTRB(x - 0.74 * wide, y - 1.0 * wide, x + 0.74 * wide, y + bite)
        with skia.AutoCanvasRestore(canvas):
            canvas.clipPath(path, doAntiAlias=True)
            canvas.drawOval(tongue, self.tongue)
            canvas.drawRoundRect(teeth, 0.5 * wide, 0.9 * bite, self.teeth)

    def _draw_lids(self, canvas: skia.Canvas, pose: Pose) -> None:
        """Lids over the eyes: skin down to the lashes."""
        if pose.blink < 0.05:
            return
        unit = self.half / self.portrait.height
        for eye in self.portrait.landmarks.eyes:
            local = (np.array(eye) - self.middle) @ self.axes.T / self.half
            x, y = (float(value) for value in self._placed(local, pose))
            wide, high = 0.42 * unit, 0.19 * unit
            low = y - high + 2 * high * pose.blink
            with skia.AutoCanvasRestore(canvas):
                canvas.clipRect(skia.Rect.MakeLTRB(x - wide, y - 2 * high, x + wide, low))
                canvas.drawOval(skia.Rect.MakeLTRB(x - wide, y - high, x + wide, y + high), self.lid)
            lash = skia.Paint(self.lash)
            lash.setStrokeWidth(0.045 * unit)
            curve = skia.Path()
            curve.moveTo(x - wide, y)
            curve.quadTo(x, 2 * low - y, x + wide, y)
            canvas.drawPath(curve, lash)

    def geometry(self, pose: Pose) -> FaceGeometry:
        """See `Character`."""
        wide = self._spread(Pose(0, 0, 1, width=1.0, smile=max(0.3, pose.smile)))
        rise, drop = 2 * GAP * UPPER_SHARE, 2 * GAP * (1 - UPPER_SHARE)
        low, high = self.edges[0] - 0.14 - rise, self.edges[3] + 0.12 + drop
        mouth = np.array([[sx * wide * 1.04, sy] for sx in (-1, 1) for sy in (low, high)])
        left, top, right, bottom = self.portrait.landmarks.face
        rim = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        head = (rim - self.middle) @ self.axes.T / self.half

        def box(spots: np.ndarray) -> tuple[float, float, float, float]:
            place = self._placed(spots, pose) * pose.size + (pose.x - 0.75 * pose.lean * pose.size, pose.y)
            (x0, y0), (x1, y1) = place.min(axis=0).tolist(), place.max(axis=0).tolist()
            return x0, y0, x1, y1

        return FaceGeometry(box(mouth), box(head))

    def describe(self) -> str:
        """See `Character`."""
        return self.portrait.landmarks.name
