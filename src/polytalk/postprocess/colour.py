"""Colour statistics in CIE Lab, against the drift of long videos."""

from __future__ import annotations

import torch

from polytalk.errors import PolytalkError

# sRGB to XYZ with the D65 white of the 2° observer, digits as in scikit-image, which the release uses.
_XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
_WHITE = (0.95047, 1.0, 1.08883)
_FRAMES_AT_ONCE = 8
_SAME = 12.0
"""Lab units, beyond the shift of the whole picture, up to which a pixel shows what it showed in the reference."""
_ENOUGH = 0.05
"""Share of the picture that must be still for its colours to say anything."""


def match_colour(
    frames: torch.Tensor, reference: torch.Tensor, strength: float = 1.0, *, still_only: bool = False
) -> torch.Tensor:
    """Give every frame the Lab mean and deviation of a reference picture, channel by channel (Reinhard et al. 2001).

    Somebody who turns or walks changes the statistics of a frame although no colour has drifted. With `still_only` they
    are taken from the pixels alone that show what they show in the reference, and all of the frame is corrected by
    them.

    Args:
        frames: (batch, 3, T, height, width) in −1..1.
        reference: (batch, 3, 1, any height, any width) in −1..1.
        strength: 0 leaves the frames alone, 1 matches fully, between them the two are blended in RGB.
        still_only: compare only what is still, see `still_area`; the reference must be of the frames' size. A frame
            with hardly anything still is left alone.

    Returns:
        As `frames`, in −1..1.

    Raises:
        PolytalkError: strength outside 0..1; `still_only` with a reference of another size.
    """
    if not 0 <= strength <= 1:
        raise PolytalkError("colour_strength", f"it is {strength}", "Use 0 to 1.")
    if still_only and reference.shape[-2:] != frames.shape[-2:]:
        sizes = " and ".join(f"{w} × {h}" for h, w in (reference.shape[-2:], frames.shape[-2:]))
        raise PolytalkError("reference", f"picture and frames are {sizes} pixels", "Scale one to the other.")
    if strength == 0:
        return frames
    wanted = rgb_to_lab(((reference.float() + 1) / 2).clamp(0, 1))
    result = torch.empty_like(frames)
    # Lab and the way there and back take ten times the memory of the frames: a few at a time
    parts = zip(frames.split(_FRAMES_AT_ONCE, dim=2), result.split(_FRAMES_AT_ONCE, dim=2), strict=True)
    for part, matched in parts:
        matched.copy_((_match_still if still_only else _match)(part, wanted, strength))
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


def _match_still(frames: torch.Tensor, wanted: torch.Tensor, strength: float) -> torch.Tensor:
    """As `_match`, by the statistics of what is still."""
    source = ((frames.float() + 1) / 2).clamp(0, 1)
    lab, area = rgb_to_lab(source), (-2, -1)
    still = still_area(lab, wanted)
    count = still.sum(area, keepdim=True)
    weight = still.float() / count.clamp_min(1)

    def statistics(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = (values * weight).sum(area, keepdim=True)
        return mean, ((values - mean) ** 2 * weight).sum(area, keepdim=True).sqrt()

    (mean, deviation), (wanted_mean, wanted_deviation) = statistics(lab), statistics(wanted.expand_as(lab))
    gain = torch.where(deviation < 1e-3, 1.0, wanted_deviation / deviation.clamp_min(1e-3))
    matched = (lab - mean) * gain + wanted_mean
    enough = count >= _ENOUGH * still.shape[-2] * still.shape[-1]
    return torch.where(enough, torch.lerp(source, lab_to_rgb(matched), strength), source) * 2 - 1


def still_area(lab: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Which pixels show what they show in the reference, up to a shift of the whole picture's colours.

    Args:
        lab: frames (batch, 3, T, height, width) in CIE Lab.
        wanted: the reference (batch, 3, 1, height, width) in CIE Lab.

    Returns:
        bool (batch, 1, T, height, width).
    """
    difference = lab - wanted
    # a median: people who move must not count as a shift of all colours
    shift = difference.flatten(-2).median(dim=-1).values[..., None, None]
    return (difference - shift).square().sum(1, keepdim=True) < _SAME**2


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
