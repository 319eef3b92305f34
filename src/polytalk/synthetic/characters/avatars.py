"""Cartoon avatars of the package python-avatars with a mouth of our own.

The package (MIT; drawings after Pablo Stanley's avataaars, free for any use) has 13 fixed mouths. Here the avatar is
rendered once without a mouth, in layers (trunk, head, eyes open and closed, brows, hair) that then move as the pose
says; the mouth is `vector.mouth.Mouth`, so that the ground truth is as exact as the vector people's.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import skia

from polytalk.errors import PolytalkError
from polytalk.synthetic.characters.character import FaceGeometry, Pose
from polytalk.synthetic.characters.vector.body import Body
from polytalk.synthetic.characters.vector.colours import Colour, argb, brightness, darker
from polytalk.synthetic.characters.vector.figure import at_shoulders, mapped_box
from polytalk.synthetic.characters.vector.kit import Brush, fill, placed
from polytalk.synthetic.characters.vector.mouth import Mouth

POOL = 64
"""Different avatars; each is rendered once per process (0.1 s) and kept (about 1 MB)."""
RESOLUTION = 1.5
"""Pixels rendered per unit of the drawing; a head is 150 units high."""
CENTRE_X, CENTRE_Y, HEIGHT = 132.0, 111.0, 150.0
"""Centre and height (chin to crown) of the head in the drawing."""
MOUTH_Y, FACE_Y = 156.0, 118.0
"""Height of the mouth's and of the eyes' middle in the drawing."""
CANVAS = (264, 280)

TOPS: dict[str, str] = {
    "BIG_HAIR": "big {} hair", "BOB": "a {} bob", "BUN": "{} hair in a bun", "CAESAR": "short {} hair",
    "CAESAR_SIDE_PART": "short {} hair", "CURLY": "long curly {} hair", "CURVY": "long wavy {} hair",
    "DREADS": "{} dreadlocks", "FRIZZLE": "frizzy {} hair", "FRO": "a {} afro", "LONG_NOT_TOO_LONG": "long {} hair",
    "MIA_WALLACE": "a {} bob with a fringe", "SHAGGY": "shaggy {} hair", "SHAGGY_MULLET": "a shaggy {} mullet",
    "SHAVED_SIDES": "{} hair with shaved sides", "SHORT_CURLY": "short curly {} hair",
    "SHORT_DREADS_1": "short {} dreadlocks", "SHORT_FLAT": "short {} hair", "SHORT_ROUND": "short {} hair",
    "SHORT_WAVED": "short wavy {} hair", "SIDES": "a bald crown and {} hair", "STRAIGHT_1": "long straight {} hair",
    "STRAIGHT_2": "long {} hair", "STRAIGHT_STRAND": "{} hair with a strand", "NONE": "a bald head",
    "BUZZCUT": "very short {} hair", "PIXIE": "a {} pixie cut", "POMPADOUR": "a {} pompadour",
    "QUIFF": "swept-up {} hair",
}  # fmt: skip
"""Hair types used -> how a prompt calls them."""
CLOTHES: dict[str, str] = {
    "BLAZER_SHIRT": "a black blazer", "BLAZER_SWEATER": "a blazer over a {} sweater", "COLLAR_SWEATER": "a {} sweater",
    "HOODIE": "a {} hoodie", "OVERALL": "{} overalls", "SHIRT_CREW_NECK": "a {} T-shirt",
    "SHIRT_SCOOP_NECK": "a {} top", "SHIRT_V_NECK": "a {} V-neck shirt",
}  # fmt: skip
CLOTH_COLOURS = {
    "BLACK": "black", "BLUE_01": "light blue", "BLUE_02": "blue", "BLUE_03": "dark blue", "GRAY_01": "white",
    "GRAY_02": "grey", "HEATHER": "slate grey", "PASTEL_GREEN": "mint green", "PASTEL_YELLOW": "pale yellow",
    "PINK": "pink", "RED": "red",
}  # fmt: skip
HAIR_COLOURS = {
    "AUBURN": "auburn", "BLACK": "black", "BLONDE": "blonde", "BLONDE_GOLDEN": "golden", "BROWN": "brown",
    "BROWN_DARK": "dark brown", "PASTEL_PINK": "pink", "PLATINUM": "platinum", "RED": "red", "SILVER_GRAY": "silver",
}  # fmt: skip
GLASSES = ("PRESCRIPTION_1", "PRESCRIPTION_2", "ROUND")
EYES = ("DEFAULT", "DEFAULT", "DEFAULT", "SQUINT", "SURPRISED", "HAPPY")
SKINS = ("TANNED", "PALE", "PALE", "LIGHT", "LIGHT", "BROWN", "BROWN", "DARK_BROWN", "BLACK")
PARTS = {
    "top": "HairType", "eyes": "EyeType", "eyebrows": "EyebrowType", "nose": "NoseType", "skin_color": "SkinColor",
    "facial_hair": "FacialHairType", "hair_color": "HairColor", "facial_hair_color": "HairColor",
    "accessory": "AccessoryType", "clothing": "ClothingType", "clothing_color": "ClothingColor",
}  # fmt: skip
"""Part of an avatar -> the package's table of its kinds."""
BROWS = ("DEFAULT", "DEFAULT_NATURAL", "FLAT_NATURAL", "RAISED_EXCITED_NATURAL", "RAISED_EXCITED")


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        remedy = 'install it with `pip install "polytalk[sources]"`'
        raise PolytalkError("avatars", f"the package {name} is not installed", remedy) from error


@dataclass(frozen=True)
class Layer:
    """A cut-out picture, or nothing, and where it lies in the drawing."""

    image: skia.Image | None
    box: skia.Rect

    def draw(self, canvas: skia.Canvas, dx: float = 0.0, dy: float = 0.0, squash: float = 1.0) -> None:
        """Draw it, shifted (units of the drawing) and squashed towards the height of the eyes."""
        if self.image is None:
            return
        box = self.box
        top, bottom = (FACE_Y + squash * (y - FACE_Y) + dy for y in (box.top(), box.bottom()))
        target = skia.Rect.MakeLTRB(box.left() + dx, top, box.right() + dx, bottom)
        sampling = skia.SamplingOptions(skia.FilterMode.kLinear, skia.MipmapMode.kNearest)
        canvas.drawImageRect(self.image, target, sampling)


@dataclass(frozen=True)
class Sheet:
    """The layers of one avatar."""

    trunk: Layer
    skull: Layer
    nose: Layer
    eyes: Layer
    lids: Layer
    brows: Layer
    top: Layer
    skin: Colour
    words: str

    @property
    def crown(self) -> float:
        """Top of the hair in the drawing."""
        return 36.0 if self.top.image is None else min(36.0, self.top.box.top())


def head_mask(shape: tuple[int, int]) -> np.ndarray:
    """(height, width) 1 where the bare head (with ears, without neck) is in a rendered drawing, soft at the chin."""
    y, x = (np.mgrid[: shape[0], : shape[1]] + 0.5) / RESOLUTION
    chin = 56.5 - np.hypot(x - CENTRE_X, y - 130)
    return np.clip(np.where(y < 136, 1.0, 0.5 + RESOLUTION * chin), 0, 1)


def cut_layer(pixels: np.ndarray) -> Layer:
    """Layer of the part of a premultiplied RGBA picture (height, width, 4; uint8) that is not empty."""
    rows, columns = np.flatnonzero(pixels[..., 3].any(axis=1)), np.flatnonzero(pixels[..., 3].any(axis=0))
    if not len(rows):
        return Layer(None, skia.Rect())
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    part = np.ascontiguousarray(pixels[top:bottom, left:right][..., [2, 1, 0, 3]])  # as `kit.raster`
    image = skia.Image.fromarray(part, skia.kBGRA_8888_ColorType, skia.kPremul_AlphaType).withDefaultMipmaps()
    return Layer(image, skia.Rect.MakeLTRB(*(float(side) / RESOLUTION for side in (left, top, right, bottom))))


def _render(svg: ET.Element, keep: tuple[str, ...]) -> np.ndarray:
    """Premultiplied RGBA picture of the groups in `keep` (Body, Clothing, Nose, Eyes, Eyebrow, Top) alone."""
    resvg = _package("resvg_py")
    root = ET.fromstring(ET.tostring(svg))
    names = {"Body", "Clothing", "Mouth", "Nose", "Eyes", "Eyebrow", "Top"} - set(keep)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("id", "").removeprefix("transparent_") in names:
                parent.remove(child)
    width, height = (round(RESOLUTION * side) for side in CANVAS)
    text = ET.tostring(root, encoding="unicode")
    data = resvg.svg_to_bytes(svg_string=text, width=width, height=height, skip_system_fonts=True)
    image = skia.Image.MakeFromEncoded(skia.Data.MakeWithCopy(bytes(data)))
    pixels = np.zeros((height, width, 4), np.uint8)
    info = skia.ImageInfo.Make(width, height, skia.kRGBA_8888_ColorType, skia.kPremul_AlphaType)
    image.readPixels(info, pixels, pixels.strides[0], 0, 0)
    return pixels


@functools.lru_cache(maxsize=POOL)
def render_sheet(number: int) -> Sheet:
    """Layers of avatar `number`; the same number gives the same avatar.

    Raises:
        PolytalkError: python-avatars or resvg-py is not installed.
    """
    package = _package("python_avatars")
    chosen = _choose(np.random.default_rng(900_000 + number))
    plain = _svg(package, chosen)
    body = _render(plain, ("Body",))
    skull = np.round(body * head_mask(body.shape[:2])[..., None]).astype(np.uint8)
    # under the head the trunk keeps the neck only: what the head leaves when it tilts must not show a second head
    trunk = _render(plain, ("Body", "Clothing"))
    y, x = ((np.arange(side) + 0.5) / RESOLUTION for side in body.shape[:2])
    neck = (y[:, None] > 150) & ((np.abs(x[None] - CENTRE_X) < 24) | (y[:, None] > 188))
    trunk[~neck] = 0
    tone = package.SkinColor[chosen["skin_color"]].value
    red, green, blue = (int(tone[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return Sheet(
        trunk=cut_layer(trunk),
        skull=cut_layer(skull),
        nose=cut_layer(_render(plain, ("Nose",))),
        eyes=cut_layer(_render(plain, ("Eyes",))),
        lids=cut_layer(_render(_svg(package, chosen | {"eyes": "CLOSED"}), ("Eyes",))),
        brows=cut_layer(_render(plain, ("Eyebrow",))),
        top=cut_layer(_render(plain, ("Top",))),
        skin=(red, green, blue),
        words=_words(chosen),
    )


def _choose(rng: np.random.Generator) -> dict[str, str]:
    """Part of an avatar -> which of its kind."""

    def pick(names: Iterable[str]) -> str:
        names = list(names)
        return names[rng.integers(len(names))]

    chosen = {"top": pick(TOPS), "clothing": pick(CLOTHES), "clothing_color": pick(CLOTH_COLOURS)}
    chosen |= {"hair_color": pick(HAIR_COLOURS), "skin_color": pick(SKINS)}
    chosen["accessory"] = pick(GLASSES) if rng.random() < 0.25 else "NONE"
    bearded = chosen["top"] in ("NONE", "SIDES", "SHORT_FLAT", "CAESAR") and rng.random() < 0.5
    chosen["facial_hair"] = pick(("BEARD_LIGHT", "BEARD_MEDIUM")) if bearded else "NONE"
    chosen |= {"eyes": pick(EYES), "eyebrows": pick(BROWS), "nose": pick(("DEFAULT", "DEFAULT", "SMALL", "WIDE"))}
    return chosen | {"facial_hair_color": chosen["hair_color"]}


def _svg(package: Any, chosen: dict[str, str]) -> ET.Element:
    parts = {part: getattr(package, kind)[chosen[part]] for part, kind in PARTS.items()}
    return ET.fromstring(package.Avatar(style=package.AvatarStyle.TRANSPARENT, **parts).render())


def _words(chosen: dict[str, str]) -> str:
    hair = TOPS[chosen["top"]].format(HAIR_COLOURS[chosen["hair_color"]])
    beard = ", a beard" if chosen["facial_hair"] != "NONE" else ""
    glasses = ", glasses" if chosen["accessory"] != "NONE" else ""
    return f"{hair}{beard}{glasses} and {CLOTHES[chosen['clothing']].format(CLOTH_COLOURS[chosen['clothing_color']])}"


class AvatarPerson:
    """A cartoon avatar. See `Character`."""

    style = "avatar"

    def __init__(self, rng: np.random.Generator) -> None:
        self.sheet = sheet = render_sheet(int(rng.integers(POOL)))
        brush = Brush("flat", 1.0, 0.0, 0)
        lips = rng.random() < 0.6
        base, full = float(rng.uniform(0.26, 0.31)), float(rng.uniform(0.1, 0.9))
        self.mouth = Mouth.drawn(rng, brush, sheet.skin, base, full, lips)
        if not lips:  # a line that shows on dark skin too
            self.mouth.line.setColor(argb(darker(sheet.skin, 0.75 if brightness(sheet.skin) > 0.4 else 0.55)))
        self.below = fill(self._cloth_colour())
        body = Body.drawn(rng, brush, sheet.skin, 0.6, 0.15)  # lends its hand
        self.body = dataclasses.replace(body, sleeve_paint=self.below)

    def _cloth_colour(self) -> Colour:
        """Colour of the clothes at the drawing's lower edge, which continues below it."""
        assert self.sheet.trunk.image is not None
        row = self.sheet.trunk.image.toarray(colorType=skia.kRGBA_8888_ColorType)[-3]
        colour = np.median(row[row[:, 3] > 250][:, :3], axis=0) / 255
        return float(colour[0]), float(colour[1]), float(colour[2])

    def _shift(self, pose: Pose) -> tuple[float, float]:
        """Shift of the features by turn and nod, in units of the drawing."""
        return 13.0 * pose.yaw, 8.0 * pose.pitch

    def draw(self, canvas: skia.Canvas, pose: Pose) -> None:
        """See `Character`."""
        sheet = self.sheet
        dx, dy = self._shift(pose)
        with placed(canvas, pose.x, pose.y, pose.size / HEIGHT):
            with placed(canvas, -CENTRE_X - pose.lean * HEIGHT, -CENTRE_Y):
                canvas.drawRect(skia.Rect.MakeLTRB(32, 278, 232, 900), self.below)
                sheet.trunk.draw(canvas)
            canvas.translate(0, 0.45 * HEIGHT)
            canvas.rotate(float(np.degrees(pose.roll)))
            canvas.translate(-CENTRE_X, -0.45 * HEIGHT - CENTRE_Y)
            sheet.skull.draw(canvas)
            sheet.nose.draw(canvas, 1.25 * dx, 1.25 * dy)
            self._draw_eyes(canvas, pose, dx, dy)
            sheet.top.draw(canvas)  # its cut-out fits the skull, so it stays on it
            canvas.translate(CENTRE_X + dx, MOUTH_Y + dy)
            canvas.scale(HEIGHT, HEIGHT)
            self.mouth.draw(canvas, pose)
        with at_shoulders(canvas, pose):
            self.body.draw_hand(canvas, pose)

    def _draw_eyes(self, canvas: skia.Canvas, pose: Pose, dx: float, dy: float) -> None:
        sheet = self.sheet
        if pose.blink > 0.75 and sheet.lids.image is not None:
            sheet.lids.draw(canvas, dx, dy)
        else:
            sheet.eyes.draw(canvas, dx + 3.5 * pose.gaze_x, dy + 2.5 * pose.gaze_y, 1.0 - 0.8 * pose.blink)
        sheet.brows.draw(canvas, dx, dy - 4.5 * pose.brow)

    def geometry(self, pose: Pose) -> FaceGeometry:
        """See `Character`."""
        reach, above, below = self.mouth.reach()
        dx, dy = self._shift(pose)
        x, y = (CENTRE_X + dx, MOUTH_Y + dy)
        matrix = skia.Matrix()
        matrix.setTranslate(-CENTRE_X, -0.45 * HEIGHT - CENTRE_Y)
        matrix.postRotate(float(np.degrees(pose.roll)))
        matrix.postTranslate(0, 0.45 * HEIGHT)
        matrix.postScale(pose.size / HEIGHT, pose.size / HEIGHT)
        matrix.postTranslate(pose.x, pose.y)
        mouth = mapped_box(matrix, x - reach * HEIGHT, y - above * HEIGHT, x + reach * HEIGHT, y + below * HEIGHT)
        return FaceGeometry(mouth, face=mapped_box(matrix, 66, self.sheet.crown, 198, 187))

    def describe(self) -> str:
        """See `Character`."""
        return f"a cartoon person with {self.sheet.words}".replace(" a auburn", " an auburn")
