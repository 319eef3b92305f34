"""One rank's share of the video tokens, and the little that ranks have to tell each other about theirs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed._functional_collectives as collectives
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup


@dataclass(frozen=True)
class RankShard:
    """`polytalk.models.token_shard.TokenShard` over a process group.

    Tokens are cut as `torch.tensor_split` cuts them, which is how diffusers' context parallelism does it: the first
    L mod N ranks hold one more than the others. Collectives are functional, so that `torch.compile` can trace them.
    """

    total: int
    """L, the tokens of all ranks."""
    rank: int
    """This rank's place in the group."""
    ranks: int
    """Size of the group."""
    group: ProcessGroup
    """Ranks that share one video."""

    def bounds(self, rank: int) -> tuple[int, int]:
        """First token of a rank, and the one after its last."""
        size, longer = self.total // self.ranks, self.total % self.ranks  # the compiler knows no divmod
        start = rank * size + min(rank, longer)
        return start, start + size + (rank < longer)

    @property
    def start(self) -> int:
        """First token held here."""
        return self.bounds(self.rank)[0]

    @property
    def stop(self) -> int:
        """Token after the last one held here."""
        return self.bounds(self.rank)[1]

    def first_tokens(self, local: Tensor, count: int) -> Tensor:
        """The video's first `count` tokens (B, count, ...) from the ranks' own (B, stop - start, ...).

        They travel from the ranks that hold them, and nothing else does: of 480p's 32,760 keys, 1,560.
        """
        pieces = []
        for owner in range(self.ranks):
            begin, end = self.bounds(owner)
            if begin >= count:
                break
            length = min(end, count) - begin
            if owner == self.rank:
                piece = local[:, :length].contiguous()
            else:
                piece = local.new_empty(local.shape[0], length, *local.shape[2:])
            pieces.append(collectives.wait_tensor(collectives.broadcast(piece, owner, self.group)))
        return torch.cat(pieces, dim=1)

    def extremes(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Smallest and largest over all ranks, element by element, in one message."""
        both = collectives.wait_tensor(collectives.all_reduce(torch.stack([-low, high]), "max", self.group))
        return -both[0], both[1]

    def gather(self, local: Tensor, dim: int) -> Tensor:
        """All ranks' tokens, joined along `dim`, on every rank."""
        local = local.movedim(dim, 0)
        longest = -(-self.total // self.ranks)
        padding = [0, 0] * (local.ndim - 1) + [0, longest - local.shape[0]]
        padded = F.pad(local, padding).contiguous()
        everyone = collectives.wait_tensor(collectives.all_gather_tensor(padded, 0, self.group))
        parts = everyone.split(longest)
        lengths = [end - begin for begin, end in map(self.bounds, range(self.ranks))]
        joined = torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])
        return joined.movedim(0, dim)
