"""Three-dimensional heads as characters: shaded skin, eyes that look, hair, a mouth with teeth; see `mesh`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import skia

from polytalk.synthetic.characters.character import FaceGeometry, Pose
from polytalk.synthetic.characters.heads.hair import HairCap
from polytalk.synthetic.characters.heads.mesh import HeadMesh, Light, load_heads, project, rotation, visible_faces
from polytalk.synthetic.characters.vector.body import Body
from polytalk.synthetic.characters.vector.colours import Colour, brightness, darker, mix
from polytalk.synthetic.characters.vector.hair import hair_colour
from polytalk.synthetic.characters.vector.kit import Brush, fill, placed, stroke
from polytalk.synthetic.characters.vector.paths import corners, polygon, smooth

SKINS: tuple[Colour, ...] = (
    (0.95, 0.80, 0.72), (0.92, 0.74, 0.63), (0.88, 0.69, 0.56), (0.80, 0.60, 0.46),
    (0.70, 0.50, 0.37), (0.56, 0.38, 0.27), (0.42, 0.27, 0.19), (0.33, 0.21, 0.15),
)  # fmt: skip
IRISES: tuple[Colour, ...] = (
    (0.30, 0.18, 0.10), (0.40, 0.26, 0.14), (0.25, 0.36, 0.22), (0.30, 0.44, 0.58), (0.42, 0.45, 0.45),
)  # fmt: skip
OVERSAMPLING = 2.0
"""Triangles have no antialiasing: they are drawn this much larger and scaled down (linear filtering is exact at 2)."""
REACH_X, REACH_Y = 0.66, 0.70
"""Half the sides of the box around the head's centre that holds head and neck in any pose, in head heights."""


class Head3D:
    """A person with a 3-D head. See `Character`."""

    style = "3-D person"

    def __init__(self, rng: np.random.Generator, bank: Path | None = None) -> None:
        heads = load_heads(bank)
        identity = int(rng.integers(len(heads)))
        self.person = heads.people[identity]
        self.head = head = HeadMesh(heads, identity)
        self.light = Light.drawn(rng)
        self.skin = self._skin(rng)
        self.male = self.person["gender"] > 0.5
        age = self.person["age"]
        self.kind = ("boy" if self.male else "girl") if age < 0.52 else ("man" if self.male else "woman")
        name, colour = hair_colour(rng, brightness(self.skin), young=age < 0.52)
        if age > 0.85 and rng.random() < 0.8:
            name, colour = [("grey", (0.55, 0.54, 0.53)), ("white", (0.85, 0.84, 0.82))][rng.integers(2)]
        self.cap = HairCap.drawn(rng, head, colour, name, self.male, self.kind in ("boy", "girl"))
        brush = Brush("painted", float(np.sign(self.light.key[0])) * 0.8, 0.0, 0)
        half = float(np.abs(head.neutral[:, 0]).max()) - 0.05
        self.back = self.cap.back_shapes(rng, brush, colour, half)
        self.albedo = self._albedo(rng, colour)
        self._choose_paints(rng, colour)
        neck = head.neutral[(head.neutral[:, 1] > 0.45) & (head.neutral[:, 2] < 0.12)]
        broad = rng.uniform(0.85, 1.0) if self.kind == "man" else rng.uniform(0.72, 0.85)
        self.body = self._body(rng, brush, float(broad), 0.92 * float(np.abs(neck[:, 0]).max()))
        self._scratch: skia.Surface | None = None

    def _choose_paints(self, rng: np.random.Generator, hair: Colour) -> None:
        """Shine, eyes, brows and the inside of the mouth."""
        self.shine = float(rng.uniform(0.05, 0.22))
        self.iris = fill(IRISES[rng.integers(2 if brightness(self.skin) < 0.55 else len(IRISES))])
        self.pupil, self.spark = fill((0.03, 0.03, 0.04)), fill((1, 1, 1), 0.9)
        lit = 0.72 + 0.28 * float(self.light.warm.mean())
        self.sclera = fill(mix((0.93 * lit, 0.92 * lit, 0.90 * lit), self.skin, 0.08))
        self.lash = stroke(darker(self.skin, 0.8), 0.010 if self.male else 0.016)
        self.brow = fill(mix(darker(hair, 0.35), self.skin, 0.15), 0.88)
        self.brows = self._brow_anchors(float(rng.uniform(0.016, 0.026) if self.male else rng.uniform(0.010, 0.018)))
        self.inside = fill(mix((0.27, 0.08, 0.08), (0.15, 0.05, 0.05), float(rng.random())))
        self.teeth = fill(mix((0.95, 0.93, 0.89), (0.88, 0.83, 0.74), float(rng.random())))
        self.tongue = fill(mix((0.68, 0.30, 0.31), (0.58, 0.22, 0.25), float(rng.random())))

    def _skin(self, rng: np.random.Generator) -> Colour:
        """Skin after the identity's origin, with some spread."""
        origin = {"african": 5.6, "asian": 2.2, "caucasian": 0.9}
        tone = sum(self.person[key] * value for key, value in origin.items()) + rng.normal(0, 0.8)
        tone = float(np.clip(tone, 0, len(SKINS) - 1.001))
        return mix(mix(SKINS[int(tone)], SKINS[int(tone) + 1], tone % 1.0), tuple(rng.random(3)), 0.03)

    def _body(self, rng: np.random.Generator, brush: Brush, broad: float, neck: float) -> Body:
        lit = np.array(self.skin) * (self.light.warm * 0.75 + self.light.sky * 0.6)
        red, green, blue = np.minimum(1, lit).tolist()
        wearer = self.kind if self.kind in ("man", "woman") else "child"
        return Body.drawn(rng, brush, (red, green, blue), broad, neck, wearer)

    def _albedo(self, rng: np.random.Generator, hair: Colour) -> np.ndarray:
        """(V, 3) colours of skin, lips, blush and beard."""
        head, bank = self.head, self.head.bank
        place = head.neutral
        albedo = np.tile(np.array(self.skin, np.float32), (len(place), 1))
        mottle = sum(np.sin(place @ rng.normal(0, 14, 3) + rng.uniform(0, 6)) for _ in range(4)) * 0.012
        albedo *= 1 + np.asarray(mottle, np.float32)[:, None]
        red = np.array([1.0, 0.62, 0.60], np.float32)
        mouth = head.mouth_centre
        cheeks = np.exp(-(((np.abs(place[:, 0]) - 0.19) / 0.09) ** 2) - ((place[:, 1] - mouth[1] + 0.14) / 0.09) ** 2)
        nose = np.exp(-((place[:, 0] / 0.06) ** 2) - ((place[:, 1] - mouth[1] + 0.13) / 0.06) ** 2)
        blush = (rng.uniform(0.1, 0.5) * cheeks + rng.uniform(0.05, 0.3) * nose + 0.25 * bank.ears)[:, None]
        albedo *= 1 - blush.astype(np.float32) * (1 - red)
        self.beard = ""
        if self.kind == "man" and rng.random() < 0.45:
            self.beard = str(rng.choice(["stubble", "a short beard"]))
            strength = 0.35 if self.beard == "stubble" else 0.85
            albedo = self._bearded(albedo, hair, strength)
        full = rng.uniform(0.0, 0.5) if self.male else rng.uniform(0.3, 1.0)
        rose = np.array(mix((0.72, 0.28, 0.28), (0.60, 0.16, 0.22), float(rng.random())))
        lip = 0.55 * np.array(darker(self.skin, 0.12)) + 0.45 * rose
        lip = (1 - 0.6 * full) * lip + 0.6 * full * rose * (0.75 + 0.25 * brightness(self.skin))
        redness = np.clip(1.5 * bank.lips, 0, 1)[:, None]
        albedo = ((1 - redness) * albedo + redness * lip).astype(np.float32)
        shadow = (rng.uniform(0, 0.4) * bank.lids)[:, None]
        return (albedo * (1 - shadow * np.array([0.5, 0.6, 0.5]))).astype(np.float32)

    def _bearded(self, albedo: np.ndarray, hair: Colour, strength: float) -> np.ndarray:
        place, mouth = self.head.neutral, self.head.mouth_centre
        inward = np.clip(np.abs(place[:, 0]) - 0.26, -0.13, 1)
        jaw = np.clip((place[:, 1] - mouth[1] + 0.10 - 0.45 * inward) / 0.06, 0, 1)
        side = np.clip((np.abs(place[:, 0]) - 0.27) / 0.05, 0, 1) * np.clip((place[:, 1] - 0.08) / 0.06, 0, 1)
        around = np.maximum(jaw * (np.abs(place[:, 0]) < 0.30), side) * (place[:, 2] > -0.02)
        above = np.clip((place[:, 1] - mouth[1] + 0.075) / 0.03, 0, 1)
        under = np.clip((0.56 - place[:, 1]) / 0.06, 0, 1)
        weight = (strength * np.minimum(np.minimum(around, above), under) * (1 - self.head.bank.ears))[:, None]
        return ((1 - weight) * albedo + weight * np.array(darker(hair, 0.15))).astype(np.float32)

    def _brow_anchors(self, thick: float) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per side: triangles (7, 3), barycentric weights (7, 3) and half thicknesses (7,) along the brow."""
        anchors = []
        neutral, faces = self.head.neutral, self.head.bank.faces
        front = faces[neutral[faces][:, :, 2].min(axis=1) > 0.05]
        for side, eye in zip((-1.0, 1.0), self.head.eyes, strict=True):
            along = np.linspace(-0.85, 1.25, 7)
            x = eye[0] + side * along * 1.0 * eye[3]
            y = eye[1] - eye[3] * (1.12 + 0.28 * np.sin((along + 0.85) / 2.1 * np.pi * 0.85) - 0.1 * along)
            found = (_locate(neutral, front, point) for point in np.stack([x, y], axis=1))
            picked, weights = zip(*found, strict=True)
            profile = thick * np.array([0.75, 1.0, 1.0, 0.9, 0.75, 0.5, 0.12])
            anchors.append((np.stack(picked), np.stack(weights), profile))
        return anchors

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """See `Character`."""
        turn = rotation(pose)
        with placed(canvas, pose.x, pose.y, pose.size):
            with skia.AutoCanvasRestore(canvas):
                canvas.rotate(float(np.degrees(0.8 * pose.roll)))
                canvas.translate(-0.06 * pose.yaw, 0)
                for shape in self.back:
                    shape.draw(canvas)
            with placed(canvas, -pose.lean):
                self.body.draw(canvas, pose)
            self._draw_head(canvas, pose, turn)
            canvas.translate(-pose.lean, 0)
            self.body.draw_hand(canvas, pose)

    def _surface(self, scale: float) -> tuple[skia.Surface, int, int]:
        """Drawing ground for the head with its used width and height; one is kept from frame to frame."""
        width, height = int(np.ceil(2 * REACH_X * scale)), int(np.ceil(2 * REACH_Y * scale))
        if self._scratch is None or self._scratch.width() < width or self._scratch.height() < height:
            self._scratch = skia.Surface.MakeRasterN32Premul(width + 8, height + 8)
        return self._scratch, width, height

    def _draw_head(self, canvas: skia.Canvas, pose: Pose, turn: np.ndarray) -> None:
        zoom = canvas.getTotalMatrix().mapRadius(1.0)
        scale = max(24.0, OVERSAMPLING * zoom)
        surface, width, height = self._surface(scale)
        ground = surface.getCanvas()
        ground.clear(0)
        place = self._placed(self.head.positions(pose), pose, turn)
        with placed(ground, REACH_X * scale, REACH_Y * scale):
            self._draw_holes(ground, pose, place, turn, scale)
            self._draw_mesh(ground, place, turn, scale)
            self._draw_lines(ground, place, scale)
        image = surface.makeImageSnapshot(skia.IRect(0, 0, width, height))
        target = skia.Rect.MakeXYWH(-REACH_X, -REACH_Y, width / scale, height / scale)
        canvas.drawImageRect(image, target, skia.SamplingOptions(skia.FilterMode.kLinear))

    def _placed(self, upright: np.ndarray, pose: Pose, turn: np.ndarray) -> np.ndarray:
        """Vertices turned with the head; the neck's end stays with the shoulders."""
        turned = upright @ turn.T
        rest = upright - np.array([pose.lean, 0, 0], np.float32)
        follow = self.head.follow
        return follow * turned + (1 - follow) * rest

    def _draw_mesh(self, ground: skia.Canvas, vertices: np.ndarray, turn: np.ndarray, scale: float) -> None:
        head, bank = self.head, self.head.bank
        normals = head._normals(vertices)
        colours = self.light.shade(self.albedo, normals, bank.openness, self.shine)
        alpha = np.clip((0.60 - head.neutral[:, 1]) / 0.07, 0, 1)
        hair_place = vertices[self.cap.vertices] + (self.cap.lift @ turn.T)
        place = np.concatenate([vertices, hair_place])
        colours = np.concatenate([colours, self.cap.shade(self.light, normals)])
        alpha = np.concatenate([alpha, self.cap.alpha])
        flat = project(place) * scale
        depth = np.concatenate([vertices[:, 2], hair_place[:, 2] + 0.03])
        faces = visible_faces(flat, depth, self.cap.faces)
        parts = np.empty((len(place), 4), np.uint8)  # little-endian ARGB
        parts[:, :3] = 255 * colours[:, ::-1]
        parts[:, 3] = 255 * alpha
        packed = parts.view("<u4")[:, 0]
        # lists are what skia takes: only the vertices in sight are handed over
        shown = np.zeros(len(place), bool)
        shown[faces.ravel()] = True
        number = np.cumsum(shown) - 1
        flat, packed, faces = flat[shown], packed[shown], number[faces]
        mode, indices = skia.Vertices.kTriangles_VertexMode, faces.ravel().tolist()
        mesh = skia.Vertices(mode, corners(flat), None, packed.tolist(), indices)
        ground.drawVertices(mesh, skia.Paint(), skia.BlendMode.kDst)

    def _draw_holes(
        self, ground: skia.Canvas, pose: Pose, vertices: np.ndarray, turn: np.ndarray, scale: float
    ) -> None:
        """Eyes and the inside of the mouth, behind the skin's holes."""
        bank = self.head.bank
        for ring, eye in zip(bank.eye_rings, self.head.eyes, strict=True):
            hole = polygon(project(vertices[ring]) * scale)
            look = np.array([0.42 * pose.gaze_x, 0.30 * pose.gaze_y, 0.0])
            look[2] = np.sqrt(1 - look @ look)
            x, y = (project(((eye[:3] + look * eye[3]) @ turn.T)[None])[0] * scale).tolist()
            radius = 0.40 * eye[3] * scale
            aside = x + 0.3 * radius * float(np.sign(self.light.key[0]))
            with skia.AutoCanvasRestore(ground):
                ground.clipPath(hole, doAntiAlias=False)
                ground.drawPath(hole, self.sclera)
                ground.drawCircle(x, y, radius, self.iris)
                ground.drawCircle(x, y, 0.45 * radius, self.pupil)
                ground.drawCircle(aside, y - 0.35 * radius, 0.26 * radius, self.spark)
        self._draw_mouth(ground, vertices, scale)

    def _draw_mouth(self, ground: skia.Canvas, vertices: np.ndarray, scale: float) -> None:
        ring = self.head.bank.mouth_ring
        flat = project(vertices[ring]) * scale
        upper = flat[: len(ring) // 2 + 1]
        edge = project(vertices[self.head.upper_edge]).mean(axis=0) * scale
        low = project(vertices[self.head.lower_edge]).mean(axis=0) * scale
        gap, wide = float(low[1] - edge[1]), float(upper[-1, 0] - upper[0, 0])
        hole = polygon(flat)
        with skia.AutoCanvasRestore(ground):
            ground.clipPath(hole, doAntiAlias=False)
            ground.drawPath(hole, self.inside)
            if gap <= 0.05 * wide:
                return
            tongue = skia.Rect.MakeXYWH(float(low[0]) - 0.27 * wide, float(low[1]) - 0.20 * gap, 0.54 * wide, 0.7 * gap)
            ground.drawOval(tongue, self.tongue)
            bite = min(0.26 * gap, 0.085 * wide)
            left, top = float(upper[len(upper) // 2][0]) - 0.40 * wide, float(edge[1]) - 0.5 * wide
            teeth = skia.Rect.MakeXYWH(left, top, 0.8 * wide, 0.5 * wide + bite)
            ground.drawRoundRect(teeth, 0.30 * wide, 0.9 * bite, self.teeth)

    def _draw_lines(self, ground: skia.Canvas, vertices: np.ndarray, scale: float) -> None:
        """Lashes and brows, on top of the skin."""
        with placed(ground, scale=scale):
            for ring in self.head.bank.eye_rings:
                upper = project(vertices[ring[: len(ring) // 2 + 1]])
                ground.drawPath(polygon(upper, closed=False), self.lash)
            for triangles, weights, profile in self.brows:
                spine = project(np.einsum("nk,nkd->nd", weights, vertices[triangles]))
                above, below = spine - profile[:, None] * (0, 1), spine + profile[:, None] * (0, 0.9)
                outline = np.concatenate([above, below[::-1]])
                ground.drawPath(smooth([(float(x), float(y)) for x, y in outline], tension=0.12), self.brow)

    def geometry(self, pose: Pose) -> FaceGeometry:
        """See `Character`."""
        turn = rotation(pose)
        lips = np.flatnonzero(self.head.bank.lips > 0.3)
        wide = dataclasses.replace(pose, opening=1.0, width=1.0, rounding=0.0, smile=max(pose.smile, 0.3))
        flat = [project(self._placed(self.head.positions(each), pose, turn)) for each in (pose, wide)]
        spots = np.concatenate([each[lips] for each in flat])
        crown = self._placed(self.head.neutral, pose, turn)[self.cap.vertices] + self.cap.lift @ turn.T
        head = np.concatenate([flat[0][self.head.neutral[:, 1] < 0.5], project(crown)])

        def box(points: np.ndarray, margin: float) -> tuple[float, float, float, float]:
            low = (points.min(axis=0) - margin) * pose.size + (pose.x, pose.y)
            high = (points.max(axis=0) + margin) * pose.size + (pose.x, pose.y)
            return float(low[0]), float(low[1]), float(high[0]), float(high[1])

        return FaceGeometry(mouth=box(spots, 0.015), face=box(head, 0.0))

    def describe(self) -> str:
        """See `Character`."""
        age = "an old " if self.person["age"] > 0.85 else "a "
        beard = f", {self.beard}" if self.beard else ""
        return f"{age}{self.kind} with {self.cap.words}{beard} and {self.body.words}"


def _locate(vertices: np.ndarray, faces: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangle in front of a point of the picture plane and the point's barycentric weights in it."""
    a, b, c = (vertices[faces[:, corner], :2].astype(np.float64) for corner in range(3))
    ab, ac, ap = b - a, c - a, point - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0] + 1e-12
    v = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
    w = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
    weights = np.stack([1 - v - w, v, w], axis=1)
    best = int(np.argmax(np.minimum(weights.min(axis=1), 0) * 100 + vertices[faces][:, :, 2].mean(axis=1)))
    return faces[best], np.clip(weights[best], 0, 1).astype(np.float32)
