"""A picture of a face with its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import skia
from PIL import Image

from polytalk.errors import PolytalkError
from polytalk.synthetic.characters.vector.colours import Colour
from polytalk.synthetic.characters.vector.kit import picture

Point = tuple[float, float]
_FORM = "see polytalk.synthetic.characters.photos.person"
TEXTURE_HEAD = 256
"""Pictures are scaled so that the head is at most so many pixels high."""


@dataclass(frozen=True)
class Landmarks:
    """Where things are, in pixels of the picture."""

    face: tuple[float, float, float, float]
    """Left, top, right, bottom of the head, chin to crown."""
    left: Point
    """Corner of the mouth on the viewer's left."""
    right: Point
    """Corner on the viewer's right."""
    edges: tuple[float, float, float, float]
    """Heights on the mouth's middle line: upper lip's outer and inner edge, lower lip's inner and outer edge."""
    eyes: tuple[Point, ...] = ()
    """Centres of the eyes."""
    name: str = "a person"

    @classmethod
    def from_json(cls, data: dict[str, Any], where: str) -> Landmarks:
        """Check and convert a sidecar's content.

        Raises:
            PolytalkError: a part is missing or makes no sense.
        """
        try:
            face = _numbers(data["face"], 4)
            mouth = data["mouth"]
            if isinstance(mouth, dict):
                left, right = _numbers(mouth["left"], 2), _numbers(mouth["right"], 2)
                edges = _numbers([mouth[key] for key in ("top", "inner_top", "inner_bottom", "bottom")], 4)
            else:
                box = _numbers(mouth, 4)
                seam = box[1] + 0.45 * (box[3] - box[1])
                left, right, edges = (box[0], seam), (box[2], seam), (box[1], seam, seam, box[3])
            eyes = tuple(_numbers(eye, 2) for eye in data.get("eyes", ()))
        except (KeyError, TypeError, ValueError) as error:
            raise PolytalkError(where, f"cannot be read ({error!r})", _FORM) from error
        inside = face[0] < left[0] < right[0] < face[2] and face[1] < edges[0] and edges[3] < face[3]
        if not inside or list(edges) != sorted(edges):
            raise PolytalkError(where, "the mouth is not inside the face, or its edges are not in order", _FORM)
        return cls(face, left, right, edges, eyes, str(data.get("name", "a person")))

    def moved(self, x0: float, y0: float, scale: float) -> Landmarks:
        """In a picture that begins at (x0, y0) and is scaled."""

        def point(spot: Point) -> Point:
            return (spot[0] - x0) * scale, (spot[1] - y0) * scale

        upper, inner_upper, inner_lower, lower = ((edge - y0) * scale for edge in self.edges)
        return Landmarks(
            (*point(self.face[:2]), *point(self.face[2:])),
            point(self.left),
            point(self.right),
            (upper, inner_upper, inner_lower, lower),
            tuple(map(point, self.eyes)),
            self.name,
        )


def _numbers(values: Any, count: int) -> tuple[Any, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{count} numbers expected, found {values}")
    return numbers


@dataclass(frozen=True)
class Portrait:
    """A picture cut around a face and scaled, with its landmarks; lengths in pixels of `image`."""

    image: skia.Image
    landmarks: Landmarks
    skin: Colour

    @property
    def height(self) -> float:
        """Chin to crown."""
        return self.landmarks.face[3] - self.landmarks.face[1]

    @classmethod
    def from_pixels(cls, pixels: np.ndarray, marks: Landmarks) -> Portrait:
        """Cut the tile around the head (0.68 head heights either way, down to the chest) out of RGB (H, W, 3) uint8."""
        left, top, right, bottom = marks.face
        high = bottom - top
        middle = (left + right) / 2
        x0, x1 = max(0, int(middle - 0.68 * high)), min(pixels.shape[1], int(np.ceil(middle + 0.68 * high)))
        y0, y1 = max(0, int(top - 0.25 * high)), min(pixels.shape[0], int(np.ceil(bottom + 1.2 * high)))
        scale = min(1.0, TEXTURE_HEAD / high)
        size = max(8, round(scale * (x1 - x0))), max(8, round(scale * (y1 - y0)))
        part = np.asarray(Image.fromarray(pixels[y0:y1, x0:x1]).resize(size, Image.Resampling.LANCZOS))
        shifted = marks.moved(x0, y0, scale)
        low, across = int(shifted.edges[3]), slice(int(shifted.left[0]), int(shifted.right[0]))
        chin = part[low : low + max(2, int(0.06 * high * scale)), across]
        red, green, blue = (np.median(chin.reshape(-1, 3), axis=0) / 255).tolist()
        return cls(picture(part).withDefaultMipmaps(), shifted, (red, green, blue))
