"""How one video is shared out over several processes, each with a device of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

from polytalk.errors import PolytalkError

MOST_BRANCHES = 3
"""Predictions that guidance ever needs; more ranks than that would repeat each other's."""


@dataclass(frozen=True)
class ParallelChoice:
    """What the ranks of `torchrun` do with one another.

    The degrees multiply to the number of processes. `fsdp` comes on top of any of them; alone, it shares out the
    weights over all processes, each of which does all the work.

    Raises:
        PolytalkError: a degree below 1, or more ranks for guidance than it has predictions.
    """

    ulysses: int = 1
    """Ranks that share the video's tokens and, in self-attention, the heads (DeepSpeed-Ulysses, arXiv 2309.14509);
    divides the number of heads."""
    ring: int = 1
    """Ranks that share the video's tokens and pass keys and values around (Ring Attention, arXiv 2310.01889); needs
    CUDA kernels that return the log-sum-exp."""
    guidance: int = 1
    """Ranks that share the predictions of guidance."""
    fsdp: bool = False
    """Every rank keeps a part of the weights of network and text encoder and gathers them block by block (FSDP2)."""

    def __post_init__(self) -> None:
        for name in ("ulysses", "ring", "guidance"):
            degree = getattr(self, name)
            if not isinstance(degree, int) or isinstance(degree, bool) or degree < 1:
                raise PolytalkError(name, f"a degree of {degree!r}", "Give the number of processes, 1 or more.")
        if self.guidance > MOST_BRANCHES:
            problem = f"{self.guidance} processes for at most {MOST_BRANCHES} predictions"
            raise PolytalkError("guidance", problem, "Use ulysses for the other processes.")

    @property
    def context(self) -> int:
        """Ranks among which the video's tokens are divided."""
        return self.ulysses * self.ring

    @property
    def degree(self) -> int:
        """Processes that the degrees ask for; 1 leaves their number open (FSDP alone)."""
        return self.context * self.guidance

    @classmethod
    def for_processes(cls, processes: int, heads: int) -> ParallelChoice:
        """What suits so many processes when nothing was asked for: Ulysses as far as the heads go, then guidance.

        Args:
            processes: number of processes, 2 or more.
            heads: attention heads of the network.

        Raises:
            PolytalkError: the processes cannot be used that way.
        """
        ulysses = math.gcd(processes, heads)
        if processes // ulysses > MOST_BRANCHES:
            problem = f"{processes} processes cannot share {heads} attention heads"
            remedy = f"Start {ulysses} processes, or as many as divide {heads}."
            raise PolytalkError("--nproc-per-node", problem, remedy)
        return cls(ulysses=ulysses, guidance=processes // ulysses)

    def check_processes(self, processes: int) -> None:
        """Refuse a choice that does not fit the number of processes.

        Raises:
            PolytalkError: naming the degrees.
        """
        if processes == 1:
            remedy = "Start it by `torchrun --nproc-per-node N -m polytalk ...`, or leave the option out."
            raise PolytalkError("parallel", "there is one process only", remedy)
        if self.degree != processes and not (self.degree == 1 and self.fsdp):
            product = f"ulysses {self.ulysses} × ring {self.ring} × guidance {self.guidance}"
            raise PolytalkError("parallel", f"{product} for {processes} processes", "The degrees must multiply to it.")
