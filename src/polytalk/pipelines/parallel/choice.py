"""How one video is shared out over several processes, each with a device of its own."""

from __future__ import annotations

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
    def parse(cls, text: str) -> ParallelChoice:
        """Read e.g. "ulysses=4,guidance=2,fsdp".

        Raises:
            PolytalkError: an unknown word, or no number where one is needed.
        """
        remedy = "Give e.g. ulysses=4,guidance=2,fsdp."
        choices: dict[str, int | bool] = {}
        for word in text.replace(" ", "").split(","):
            name, equals, value = word.partition("=")
            if name == "fsdp" and not equals:
                choices[name] = True
            elif name in ("ulysses", "ring", "guidance") and value.isascii() and value.isdigit():
                choices[name] = int(value)
            else:
                raise PolytalkError("parallel", f"{word!r} is unknown", remedy)
        return cls(**choices)  # type: ignore[arg-type]

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
