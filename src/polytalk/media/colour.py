"""Colour statistics in CIE Lab, against the drift of long videos."""

from __future__ import annotations

import torch

from polytalk.errors import PolytalkError

# sRGB to XYZ with the D65 white of the 2° observer, digits as in scikit-image, which the release uses.
_XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
_FRAMES_AT_ONCE = 8


def match_colour(frames: torch.Tensor, reference: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Give every frame the Lab mean and deviation of a reference picture, channel by channel (Reinhard et al. 2001).

    Args:
        frames: (batch, 3, T, height, width) in −1..1.
        reference: (batch, 3, 1, any height, any width) in −1..1.
        strength: 0 leaves the frames alone, 1 matches fully, between them the two are blended in RGB.

    Returns:
        As `frames`, in −1..1.

    Raises:
        PolytalkError: strength outside 0..1.
    """
    if not 0 <= strength <= 1:
        raise PolytalkError("colour strength", f"it is {strength}", "Use 0 to 1.")
    if strength == 0:
        return frames
    wanted = rgb_to_lab(((reference.float() + 1) / 2).clamp(0, 1))
    result = torch.empty_like(frames)
    # Lab and the way there and back take ten times the memory of the frames: a few at a time
    parts = zip(frames.split(_FRAMES_AT_ONCE, dim=2), result.split(_FRAMES_AT_ONCE, dim=2), strict=True)
    for part, matched in parts:
        matched.copy_(_match(part, wanted, strength))
    return result


def _match(frames: torch.Tensor, wanted: torch.Tensor, strength: float) -> torch.Tensor:
    """Frames in −1..1 brought to the mean and deviation of `wanted`, (batch, 3, 1, ...) in Lab."""
    source = ((frames.float() + 1) / 2).clamp(0, 1)
    lab, area = rgb_to_lab(source), (-2, -1)
    deviation = lab.std(area, correction=0, keepdim=True)
    # A frame of one colour has no deviation to stretch; only its mean moves.
    gain = wanted.std(area, correction=0, keepdim=True) / deviation.masked_fill(deviation < 1e-8, 1.0)
    matched = (lab - lab.mean(area, keepdim=True)) * gain + wanted.mean(area, keepdim=True)
    blended = torch.lerp(source, lab_to_rgb(matched), strength)
    return blended * 2 - 1


def rgb_to_lab(rgb: torch.Tensor) -> torch.Tensor:
    """sRGB (batch, 3, ...) in 0..1 to CIE Lab, L in 0..100."""
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp_min(0) ** 2.4, rgb / 12.92)
    matrix, white = rgb.new_tensor(_XYZ_FROM_RGB), rgb.new_tensor(_WHITE)
    x, y, z = torch.einsum("ij,bj...->ib...", matrix / white[:, None], linear).unbind(0)
    fx, fy, fz = (torch.where(v > 0.008856, v.clamp_min(1e-9) ** (1 / 3), 7.787 * v + 16 / 116) for v in (x, y, z))
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=1)


def lab_to_rgb(lab: torch.Tensor) -> torch.Tensor:
    """CIE Lab (batch, 3, ...) to sRGB in 0..1, clipped to what sRGB can show."""
    lightness, a, b = lab.unbind(1)
    fy = (lightness + 16) / 116
    # Colours beyond sRGB would have negative blue cones; scikit-image puts those at 0 too.
    f = torch.stack((fy + a / 500, fy, (fy - b / 200).clamp_min(0)))
    xyz = torch.where(f > 0.2068966, f**3, (f - 16 / 116) / 7.787)
    inverse = torch.linalg.inv(torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64)) * torch.tensor(_WHITE).double()
    linear = torch.einsum("ij,jb...->bi...", inverse.to(lab), xyz)
    rgb = torch.where(linear > 0.0031308, 1.055 * linear.clamp_min(0) ** (1 / 2.4) - 0.055, linear * 12.92)
    return rgb.clamp(0, 1)
