"""Who is where in the next clip: the network's own answer at a clip's border, checked against what people look like.

The released model gives every clip the masks of the first picture. Here the labels that the network reads from its
reference map (paper, section 3.4) become the next clip's masks. They may be wrong: a map that clings to places hands
the voices of two people who have changed sides to the wrong ones, and an error of one clip would be the starting point
of the next. So each answer is compared with the scene's picture, never with an earlier answer: the colours inside
somebody's first mask are what that person looks like, to the end of the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from polytalk.postprocess.colour import rgb_to_lab
from polytalk.units import PATCH

COLOURS = 24
"""Colours that a picture is told in."""
SPREAD = 8.0
"""Lab units within which two colours count as much the same: light and the network's colours drift."""
LEAST_SHARE = 0.02
"""Likelihood of a colour that somebody has never shown."""
_CELLS = 2
"""Places per latent each way at which colours are looked at."""

Decision = Literal["map", "exchanged", "found", "kept"]
"""Where a mask comes from: the network's map; the map, with another person's region; a search for the colours; the mask
of the clip before."""


@dataclass(frozen=True)
class FollowingConfig:
    """When the network's answer is believed."""

    margin: float = 0.08
    """Nats per token by which two people must look more like each other's regions before these are exchanged."""
    smallest: float = 0.3
    """Least share of the area in the scene's picture that somebody may take up later."""
    largest: float = 3.0
    """Largest multiple of it."""
    resemblance: float = 0.25
    """Least share of the likelihood, over the background's, that somebody's region in the scene's picture has."""
    piece: float = 0.3
    """Pieces smaller than this share of a person's largest one are specks."""


@dataclass(frozen=True)
class Followed:
    """Who is where at a border."""

    masks: Tensor
    """bool (P, h, w)."""
    decisions: tuple[Decision, ...]
    """Per person."""


@dataclass(frozen=True)
class Appearance:
    """What everybody looks like, and where there is nobody: shares of colours."""

    palette: Tensor
    """(K, 3) Lab."""
    shares: Tensor
    """(P + 1, K), the background last; rows sum to 1."""
    resemblance: Tensor
    """(P,): log-likelihood per token of each person's own region over the background's, in the scene's picture."""
    areas: Tensor
    """(P,): tokens of each person's mask there."""

    @classmethod
    def of(cls, picture: Tensor, masks: Tensor) -> Appearance:
        """Learn from the scene's picture.

        Args:
            picture: (3, H, W) in -1..1.
            masks: bool (P, h, w), who is where in it.
        """
        colours = _colours(picture, masks.shape[-2:])
        palette = _palette(colours.flatten(0, 1))
        nearness = _nearness(colours, palette)
        areas = torch.cat([masks, ~masks.any(dim=0, keepdim=True)]).cpu()
        areas = areas.repeat_interleave(_CELLS, 1).repeat_interleave(_CELLS, 2).float()
        shares = torch.einsum("prc,rck->pk", areas, nearness) / areas.sum((1, 2)).clamp(min=1)[:, None]
        regions = masks_to_tokens(masks.cpu())
        likelihood = _likelihood(nearness, shares)
        own = _mean_inside(likelihood[:-1] - likelihood[-1], regions).diagonal()
        return cls(palette, shares, own, regions.sum((1, 2)))

    def likelihood(self, picture: Tensor, grid: Sequence[int]) -> Tensor:
        """Log-likelihood of each token's colours: (P + 1, h / 2, w / 2) for a picture (3, H, W) and a grid (h, w)."""
        return _likelihood(_nearness(_colours(picture, grid), self.palette), self.shares)


@torch.no_grad()
def follow(
    labels: Tensor,
    picture: Tensor,
    masks: Tensor,
    appearance: Appearance,
    people: Sequence[int] | None = None,
    config: FollowingConfig | None = None,
) -> Followed:
    """Everybody's mask in the frame that the next clip begins with.

    1. Each person's region in the map loses its specks and its ragged edge.
    2. Two people whose regions look more like each other's have them exchanged.
    3. A region of an impossible size, or one that looks like the background, is in doubt. The person stays where they
       were if they look as if they were still there, or else is looked for by colour; whoever is not found there
       either is where the map has them, if the size is possible, or stays.

    Args:
        labels: int (h / 2, w / 2), the classes that the map gives the tokens of the latent frame with which the next
            clip begins; class i is person `people[i]`, anything else is the background.
        picture: (3, H, W) in -1..1, the frame itself.
        masks: bool (P, h, w), where everybody was at the beginning of this clip.
        appearance: of the scene's picture.
        people: who has a class; None: everybody, in order.
        config: thresholds.
    """
    before = masks_to_tokens(masks.cpu())
    border = _Border(appearance, appearance.likelihood(picture, masks.shape[-2:]), config or FollowingConfig())
    regions = torch.zeros_like(before)
    for number, person in enumerate(range(len(masks)) if people is None else people):
        regions[person] = without_specks(smooth(labels.cpu() == number), border.config.piece)
    regions, decisions = border.exchange(regions)
    doubtful = [person for person, region in enumerate(regions) if not border.believes(person, region)]
    shown = regions.clone()
    regions[doubtful] = False
    for person in doubtful:
        region, decision = border.look_for(person, shown[person], before[person], regions.any(dim=0))
        regions[person], decisions[person] = region, decision or decisions[person]
    return Followed(tokens_to_masks(regions).to(masks.device), tuple(decisions))


@dataclass(frozen=True)
class _Border:
    """One frame in the light of what everybody looks like. Regions are bool (rows, columns) of tokens."""

    appearance: Appearance
    likelihood: Tensor
    """(P + 1, rows, columns)."""
    config: FollowingConfig

    def exchange(self, regions: Tensor) -> tuple[Tensor, list[Decision]]:
        """Regions (P, rows, columns) handed among people until no two would gain by an exchange."""
        scores = _mean_inside(self.likelihood[:-1], regions)  # of person (row) in region (column)
        holder = [number for number in range(len(regions)) if regions[number].any()]
        holds = {person: person for person in holder}
        for _ in range(len(holder) ** 2):
            gains = {
                (p, q): float(scores[p, holds[q]] + scores[q, holds[p]] - scores[p, holds[p]] - scores[q, holds[q]])
                for p in holder
                for q in holder
                if p < q
            }
            best = max(gains, key=gains.__getitem__, default=None)
            if best is None or gains[best] <= 2 * self.config.margin:
                break
            p, q = best
            holds[p], holds[q] = holds[q], holds[p]
        decisions: list[Decision] = ["exchanged" if holds.get(p, p) != p else "map" for p in range(len(regions))]
        return regions[[holds.get(person, person) for person in range(len(regions))]], decisions

    def fits(self, person: int, region: Tensor) -> bool:
        """Whether the region can be that person by its size."""
        size, area = int(region.sum()), float(self.appearance.areas[person])
        return size > 0 and self.config.smallest * area <= size <= self.config.largest * area

    def likeness(self, person: int, region: Tensor) -> float:
        """Log-likelihood per token of the region's colours, the person's over the background's."""
        return float((self.likelihood[person] - self.likelihood[-1])[region].mean())

    def believes(self, person: int, region: Tensor) -> bool:
        """Whether the region can be that person by its size and its colours."""
        # somebody in the background's own colours gives nothing to go by and is believed anywhere
        wanted = self.config.resemblance * float(self.appearance.resemblance[person]) - self.config.margin
        return self.fits(person, region) and self.likeness(person, region) >= wanted

    def look_for(self, person: int, shown: Tensor, before: Tensor, taken: Tensor) -> tuple[Tensor, Decision | None]:
        """A region outside of what is taken for somebody whose region in the map is in doubt; None: that region."""
        stays = before & ~taken
        if self.believes(person, stays):
            return stays, "kept"
        ahead = (self.likelihood[person] > self.likelihood[-1]) & (self.likelihood[:-1].argmax(0) == person)
        found = without_specks(smooth(ahead & ~taken), 1.0)
        if self.believes(person, found):
            return found, "found"
        if self.fits(person, shown & ~taken):
            return shown & ~taken, None
        return (stays if stays.any() else before), "kept"


def have_moved(before: Tensor, after: Tensor, least: float = 0.3) -> bool:
    """Whether somebody has left their place: masks (P, h, w) that share less than `least` of the smaller one."""
    both = (before & after).flatten(1).sum(1)
    smaller = torch.minimum(before.flatten(1).sum(1), after.flatten(1).sum(1))
    return bool((both < least * smaller).any())


def masks_to_tokens(masks: Tensor) -> Tensor:
    """Masks (P, h, w) to tokens (P, h / 2, w / 2); like the network, a token takes the latent at its upper left."""
    return masks[:, ::PATCH, ::PATCH].clone()


def tokens_to_masks(regions: Tensor) -> Tensor:
    """The inverse of `masks_to_tokens`: each token's value at its four latents."""
    return regions.repeat_interleave(PATCH, dim=-2).repeat_interleave(PATCH, dim=-1)


def smooth(region: Tensor) -> Tensor:
    """A region (rows, columns) with its edge straightened.

    A place joins if 6 of the 9 around and including it belong to the region, and leaves with fewer than 4, so that a
    straight edge and its corners stay: else the region would shrink with every clip.
    """
    around = F.avg_pool2d(region[None, None].float(), 3, 1, 1, count_include_pad=False)[0, 0]
    return torch.where(region, around > 3.5 / 9, around > 5.5 / 9)


def without_specks(region: Tensor, share: float) -> Tensor:
    """A region (rows, columns) without the connected pieces that are smaller than `share` of the largest."""
    from scipy import ndimage

    if not region.any():
        return region
    pieces = torch.from_numpy(ndimage.label(region.numpy())[0]).long()
    sizes = pieces.flatten().bincount()
    sizes[0] = 0  # what is outside
    return (sizes >= share * sizes.max())[pieces] & region


def _mean_inside(values: Tensor, regions: Tensor) -> Tensor:
    """Mean of each map (V, rows, columns) inside each region (R, rows, columns): (V, R); 0 in an empty one."""
    areas = regions.flatten(1).float()
    return values.flatten(1) @ areas.T / areas.sum(1).clamp(min=1)


def _colours(picture: Tensor, grid: Sequence[int]) -> Tensor:
    """Lab colours (2h, 2w, 3) of a picture (3, H, W) in -1..1."""
    size = (grid[0] * _CELLS, grid[1] * _CELLS)
    small = F.adaptive_avg_pool2d(picture.float().cpu(), size)
    return rgb_to_lab(((small + 1) / 2).clamp(0, 1)[None])[0].movedim(0, -1)


def _palette(colours: Tensor) -> Tensor:
    """Typical ones (K, 3) among colours (N, 3), without chance: begun with those farthest apart, then k-means."""
    chosen = colours.mean(0, keepdim=True)
    for _ in range(COLOURS - 1):
        distance = torch.cdist(colours, chosen).amin(1)
        chosen = torch.cat([chosen, colours[distance.argmax()][None]])
    for _ in range(8):
        nearest = F.one_hot(torch.cdist(colours, chosen).argmin(1), COLOURS).float()
        count = nearest.sum(0)[:, None]
        chosen = torch.where(count > 0, nearest.T @ colours / count.clamp(min=1), chosen)
    return chosen


def _nearness(colours: Tensor, palette: Tensor) -> Tensor:
    """How much each place (rows, columns, 3) has of each colour: (rows, columns, K), sums to 1."""
    distance = torch.cdist(colours.flatten(0, 1), palette).unflatten(0, colours.shape[:2])
    return (-(distance**2) / (2 * SPREAD**2)).softmax(-1)


def _likelihood(nearness: Tensor, shares: Tensor) -> Tensor:
    """Log-likelihood per token (P + 1, rows / 4, columns / 4) from nearness (rows, columns, K)."""
    likelihood = torch.einsum("rck,pk->prc", nearness, shares)
    return F.avg_pool2d((likelihood + LEAST_SHARE).log()[None], _CELLS * PATCH)[0]
