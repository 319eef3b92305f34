"""`Box`: a rectangle in pixels of the picture as shown."""

from __future__ import annotations

from dataclasses import dataclass

from polytalk.errors import PolytalkError


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the picture as shown; right and bottom exclusive.

    Raises:
        PolytalkError: not whole numbers, negative, or without any pixel.
    """

    left: int
    """First column."""
    top: int
    """First row."""
    right: int
    """One past the last column."""
    bottom: int
    """One past the last row."""

    def __post_init__(self) -> None:
        for name in ("left", "top", "right", "bottom"):
            value = getattr(self, name)
            try:
                whole = not isinstance(value, bool) and int(value) == value
            except (TypeError, ValueError, OverflowError):
                whole = False
            if not whole:
                raise PolytalkError("box", f"{name} is {value!r}", "Give whole numbers of pixels.")
            object.__setattr__(self, name, int(value))
        if min(self.left, self.top) < 0:
            raise PolytalkError("box", f"{self} starts outside the picture", "left and top count from 0.")
        if self.width <= 0 or self.height <= 0:
            remedy = "The order is left, top, right, bottom, with left < right and top < bottom."
            raise PolytalkError("box", f"{self} is empty", remedy)

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.right},{self.bottom}"

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @classmethod
    def parse(cls, text: str) -> Box:
        """Read `left,top,right,bottom` as typed on the command line."""
        try:
            numbers = [int(part) for part in text.split(",")]
            left, top, right, bottom = numbers
        except ValueError:
            remedy = "Give four whole numbers: left,top,right,bottom."
            raise PolytalkError("box", f"{text!r} is not a box", remedy) from None
        return cls(left, top, right, bottom)
