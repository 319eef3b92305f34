"""How a model is loaded and held: the levers that trade memory, time and exactness against each other.

What is made (steps, guidance, length of the clips) is not here; see `PipelineConfig`. A lever that is off changes
nothing. `polytalk.acceleration.apply` applies them to a model that has been built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polytalk.config.knobs import MEMORY, MODEL, check_knobs, knob
from polytalk.errors import PolytalkError
from polytalk.units import DTYPES

QUANTIZATIONS = ("int8", "int8-dynamic", "fp8", "int4")
"""Number formats that the blocks' linear layers can be converted to while loading."""
OFFLOADS = ("none", "model", "group", "stream")
"""Where weights wait until they are needed, from the fastest to the one that needs least memory."""
STEP_CACHES = {"teacache": 0.2, "magcache": 0.12, "firstblock": 0.08}
"""Step caches and the threshold each takes by default."""


@dataclass(frozen=True)
class LoraChoice:
    """One low-rank adapter to lay over the transformer.

    Raises:
        PolytalkError: the scale is not a number.
    """

    path: str | Path
    """File in a published format."""
    scale: float = 1.0
    """Strength; 1 is as trained."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise PolytalkError("lora", f"{self.path} has a scale of {self.scale}", "Give a number, e.g. 1.0.")

    @classmethod
    def parse(cls, text: str) -> LoraChoice:
        """FILE or FILE:SCALE as typed, e.g. "style.safetensors:0.8".

        Raises:
            PolytalkError: what follows the colon is not a number, or nothing precedes it.
        """
        path, colon, scale = text.rpartition(":")
        if not colon or "/" in scale or "\\" in scale or Path(text).exists():
            return cls(text)
        remedy = "Give FILE or FILE:SCALE, e.g. style.safetensors:0.8."
        if not path:
            raise PolytalkError("lora", f"{text!r} names no file", remedy)
        try:
            return cls(path, float(scale))
        except PolytalkError:
            raise
        except ValueError:
            raise PolytalkError("lora", f"{scale!r} is not a number in {text!r}", remedy) from None


@dataclass(frozen=True)
class LoadOptions:
    """The levers. The defaults are the plain model.

    Raises:
        PolytalkError: naming the lever that is unknown, or the two that exclude each other.
    """

    loras: tuple[LoraChoice, ...] = knob(
        (),
        "FILE or FILE:SCALE, an adapter to lay over the model; several are laid over one another.",
        panel=MODEL,
        flags=("--lora",),
        typed=list[str],
    )
    quantization: str | None = knob(
        None,
        "int8, int8-dynamic, fp8 or int4: the blocks' weights in fewer bits. A file that is quantised is recognised by "
        "itself.",
        panel=MEMORY,
    )
    offload: str = knob(
        "none",
        "model: encoders wait in host memory. group: the blocks, too. stream: blocks are read from disk.",
        panel=MEMORY,
        shown_default="none",
    )
    branch_chunking: bool | None = knob(
        None,
        "Run guidance's predictions one after the other inside each block: a block's weights come once a step, at the "
        "memory of one prediction.",
        panel=MEMORY,
        shown_default="with group and stream",
    )
    layerwise_casting: bool = knob(False, "Hold the blocks' weights in 8 bits, cast while they work.", panel=MEMORY)
    vae_tiling: bool = knob(False, "Encode and decode video in tiles.", panel=MEMORY)
    vae_dtype: str | None = knob(
        None, "Number format of the video autoencoder.", panel=MEMORY, shown_default="the model's"
    )
    compile: bool = knob(False, "Compile the blocks: a slow start, then faster steps.", panel=MEMORY)
    attention_backend: str | None = knob(
        None,
        "Attention kernel by diffusers' name, e.g. _native_cudnn, flash, _flash_3 or sage.",
        panel=MEMORY,
        flags=("--attention",),
        shown_default="PyTorch's",
        plans=False,
    )
    step_cache: str | None = knob(
        None,
        "teacache, magcache or firstblock, each also with :THRESHOLD; leave out steps that change little.",
        panel=MEMORY,
    )
    step_cache_threshold: float | None = knob(
        None,
        "Change up to which a step is left out; larger is faster.",
        panel=MEMORY,
        shown_default="the cache's",
        least=0,
    )
    step_cache_numbers: tuple[float, ...] | None = knob(
        None,
        "For networks without published numbers, or in their place: TeaCache's polynomial, highest power first; "
        "MagCache's ratios, one a step.",
        panel=MEMORY,
        typed=list[float],
        command_line=False,
    )
    parallel: ParallelChoice | None = knob(
        None,
        "Under torchrun: what the processes share, e.g. ulysses=4,guidance=2,fsdp; numbers multiply to theirs.",
        panel=MEMORY,
        typed=str,
        shown_default="ulysses",
        plans=False,
    )

    def __post_init__(self) -> None:
        loras = tuple(LoraChoice.parse(lora) if isinstance(lora, str) else lora for lora in self.loras)
        object.__setattr__(self, "loras", loras)
        if isinstance(self.parallel, str):
            object.__setattr__(self, "parallel", ParallelChoice.parse(self.parallel))
        self._split_step_cache()
        check_knobs(self)
        _check_choice("quantization", self.quantization, (None, *QUANTIZATIONS))
        _check_choice("offload", self.offload, OFFLOADS)
        _check_choice("step_cache", self.step_cache, (None, *STEP_CACHES))
        _check_choice("vae_dtype", self.vae_dtype, (None, *DTYPES))
        if self.step_cache_numbers is not None and self.step_cache not in ("teacache", "magcache"):
            raise PolytalkError("step_cache_numbers", f"{self.step_cache} takes none", "Use teacache or magcache.")
        if self.step_cache_threshold is not None and self.step_cache is None:
            raise PolytalkError("step_cache_threshold", "there is no step cache", "Choose one with step_cache.")
        shares = self.parallel is not None and (self.parallel.context > 1 or self.parallel.fsdp)
        if shares and self.step_cache == "firstblock":
            problem = "firstblock decides by the tokens each process holds, so that processes would disagree and hang"
            raise PolytalkError("step_cache", problem, "Use teacache or magcache, which decide by the step alone.")
        if self.offload == "stream" and self.layerwise_casting:
            problem = "blocks that come from disk are held nowhere"
            raise PolytalkError("layerwise_casting", problem, "Leave it out; an int8 model on disk takes less reading.")
        if self.parallel is not None and self.parallel.fsdp:
            self._check_fsdp()

    def _split_step_cache(self) -> None:
        """ "teacache:0.2" says cache and threshold."""
        name, colon, number = (self.step_cache or "").partition(":")
        if not colon:
            return
        try:
            threshold = float(number)
        except ValueError:
            problem = f"{number!r} is no threshold"
            raise PolytalkError("step_cache", problem, "Give e.g. teacache or teacache:0.2.") from None
        object.__setattr__(self, "step_cache", name)
        object.__setattr__(self, "step_cache_threshold", threshold)

    def _check_fsdp(self) -> None:
        remedy = "Leave one of the two out."
        if self.offload != "none":
            raise PolytalkError("offload", f"{self.offload!r} moves weights that fsdp shares out", remedy)
        if self.layerwise_casting:
            raise PolytalkError("layerwise_casting", "it casts weights that fsdp shares out", remedy)
        if self.quantization in ("fp8", "int8-dynamic"):
            problem = f"torchao's {self.quantization} weights cannot be shared out by fsdp"
            raise PolytalkError("quantization", problem, 'Use "int8" or "int4".')

    @property
    def transformer_offloaded(self) -> bool:
        """Whether the blocks' weights come to the device one by one."""
        return self.offload in ("group", "stream")

    @property
    def chunks_branches(self) -> bool:
        """Whether guidance's predictions run one after the other inside each block."""
        return self.transformer_offloaded if self.branch_chunking is None else self.branch_chunking


def _check_choice(field: str, value: Any, known: tuple[Any, ...]) -> None:
    if value not in known:
        names = ", ".join(repr(name) for name in known)
        raise PolytalkError(field, f"{value!r} is unknown", f"Use one of {names}.")


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
