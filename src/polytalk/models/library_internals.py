"""What Polytalk uses of its libraries beyond their public names: touched here and, a test sees to it, nowhere else.

Tested with PyTorch 2.13, diffusers 0.42 and transformers 5.24. When one of them moves a name, this file is to be
mended. What a library reads from our classes (`_no_split_modules`, ...) is declared in those classes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from diffusers.hooks import group_offloading
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.hooks.hooks import HookRegistry, ModelHook
from diffusers.models.attention_dispatch import AttentionBackendName, _AttentionBackendRegistry
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if dist.is_available():
    import torch.distributed._functional_collectives as collectives

__all__ = ["FakeTensorMode", "TorchDispatchMode", "tree_leaves"]

Method = TypeVar("Method", bound=Callable[..., Any])

CPU_INFO = Path("/proc/cpuinfo")


# The processor


def processor_has(flag: str) -> bool:
    """Whether the processor has an instruction set, by Linux's name of it ("amx_bf16"); False where nobody knows."""
    if hasattr(torch.cpu, "get_capabilities"):  # newer PyTorch knows on every system
        known = torch.cpu.get_capabilities()
        if flag in known:
            return bool(known[flag])
    if not CPU_INFO.is_file():
        return False
    lines = CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(flag in line.split() for line in lines if line.startswith(("flags", "Features")))


# Hooks of diffusers around a module's forward


def find_hook(module: nn.Module, name: str) -> ModelHook | None:
    """A module's hook of this name; unlike diffusers' own look-up it leaves a module without hooks as it is."""
    registry: HookRegistry | None = getattr(module, "_diffusers_hook", None)
    return None if registry is None else registry.get_hook(name)


def acts_like_forward(method: Method) -> Method:
    """Let the hooks that bring, cast or take away a module's weights around `forward` do so around this method, too.

    These are the hooks with `pre_forward` and `post_forward` alone; one with a `new_forward` does the work of `forward`
    in another way, and stays out. FSDP2 does the same for `forward_like_methods`.
    """

    @functools.wraps(method)
    def called(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        registry: HookRegistry | None = getattr(self, "_diffusers_hook", None)
        every = [] if registry is None else list(registry.hooks.values())
        hooks = [hook for hook in every if not hasattr(hook, "new_forward")]
        for hook in reversed(hooks):  # the one that was laid on last is the outermost
            args, kwargs = hook.pre_forward(self, *args, **kwargs)
        output = method(self, *args, **kwargs)
        for hook in hooks:
            output = hook.post_forward(self, output)
        return output

    called.__dict__["acts_like_forward"] = True
    return cast(Method, called)


def forward_like_methods(module: nn.Module) -> list[str]:
    """Names of a module's methods that `acts_like_forward` marks."""
    kind = type(module)
    return [name for name in dir(kind) if hasattr(getattr(kind, name, None), "acts_like_forward")]


@contextmanager
def group_offloading_off(module: nn.Module) -> Iterator[None]:
    """diffusers' group offloading holds on to a layer's tensors and has to run outside of other hooks: taken off and
    put on again, it learns of new ones."""
    hook = group_offloading._get_top_level_group_offload_hook(module)
    if hook is not None:
        registry = HookRegistry.check_if_exists_or_initialize(module)
        for name in (
            group_offloading._GROUP_OFFLOADING,
            group_offloading._LAYER_EXECUTION_TRACKER,
            group_offloading._LAZY_PREFETCH_GROUP_OFFLOADING,
        ):
            registry.remove_hook(name, recurse=True)
    try:
        yield
    finally:
        if hook is not None:
            group_offloading._apply_group_offloading(module, hook.config)


def know_as_block(kind: type[nn.Module]) -> None:
    """Let diffusers' step caches leave out blocks of this class, whose forward returns the tokens. Imports all of
    diffusers' transformers."""
    TransformerBlockRegistry.register(kind, TransformerBlockMetadata(return_hidden_states_index=0))


def rename_repeated_blocks(model: Any, kind: type[nn.Module]) -> None:
    """Let a model's `compile_repeated_blocks` know its blocks by another class, as well."""
    model._repeated_blocks = [*type(model)._repeated_blocks, kind.__name__]


# Attention


class AttentionChoices:
    """What diffusers' `set_attention_backend` and context parallelism leave with an attention processor."""

    _attention_backend: Any = None
    _parallel_config: Any = None

    @property
    def backend(self) -> Any:
        """Name of the kernel; None for the default."""
        return self._attention_backend

    @backend.setter
    def backend(self, name: Any) -> None:
        self._attention_backend = name

    @property
    def parallel_config(self) -> Any:
        """How tokens are divided over ranks (diffusers' `ParallelConfig`); None where they are not."""
        return self._parallel_config

    @parallel_config.setter
    def parallel_config(self, config: Any) -> None:
        self._parallel_config = config


def default_backend() -> AttentionBackendName:
    """The attention kernel that diffusers takes where none is chosen."""
    return AttentionBackendName(_AttentionBackendRegistry.get_active_backend()[0])


def backends_for_divided_tokens() -> set[str]:
    """Names of the attention kernels that can work where tokens are divided over ranks."""
    return set(_AttentionBackendRegistry._supports_context_parallel)


def divided_input(dim: int, dims: int) -> Any:
    """Diffusers' description of an output, a tensor of `dims` dimensions, that is divided over ranks along one."""
    from diffusers.models._modeling_parallel import ContextParallelInput

    return ContextParallelInput(split_dim=dim, expected_dims=dims, split_output=True)


def ranks_of(context: Any) -> Any:
    """The one-dimensional mesh over which a `ContextParallelConfig`, once set up, divides tokens."""
    return context._flattened_mesh


def flash_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The kernel that GPUs run, which forms no matrix of scores."""
    return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value)[0]


# Tensors of modules


class ConvertsItself(nn.Module):
    """A module that says itself what becomes of its tensors when the model is moved or cast."""

    def convert(self, change: Callable[[Tensor], Tensor], as_usual: Callable[..., Any]) -> None:
        """Change the module's tensors.

        Args:
            change: what is to happen to each tensor.
            as_usual: does that to all of them.
        """
        as_usual(change)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        usual = super()._apply
        self.convert(fn, lambda change: usual(change, recurse))
        return self


def float32_names(model: Any) -> tuple[str, ...]:
    """Parts of the names of parameters that stay float32 whatever the model is cast to, as diffusers' classes say."""
    return tuple(model._keep_in_fp32_modules or ())


def tied_weights(model: nn.Module) -> dict[str, str]:
    """Parameter -> the one that it is the same as, as transformers' models declare it."""
    keys = getattr(model, "_tied_weights_keys", None)
    return dict(keys) if isinstance(keys, dict) else {}


def storage_id(tensor: Tensor) -> int:
    """Tells memory apart, also that of tensors without numbers."""
    return tensor.untyped_storage()._cdata


def copy_all(targets: Collection[Tensor], sources: Collection[Tensor]) -> None:
    """Each target becomes its source, in one go."""
    torch._foreach_copy_(list(targets), list(sources))


def lerp_all(targets: Collection[Tensor], ends: Collection[Tensor], weight: float) -> None:
    """Each target moves by a share of the way to its end, in one go."""
    torch._foreach_lerp_(list(targets), list(ends), weight)


# Messages between ranks that `torch.compile` can trace


def gathered(tensor: Tensor, group: Any) -> Tensor:
    """All ranks' tensors, of one shape, joined along the first axis."""
    return collectives.wait_tensor(collectives.all_gather_tensor(tensor, 0, group))


def largest(tensor: Tensor, group: Any) -> Tensor:
    """The largest over all ranks, element by element."""
    return collectives.wait_tensor(collectives.all_reduce(tensor, "max", group))


def sent(tensor: Tensor, owner: int, group: Any) -> Tensor:
    """The owner's tensor, on every rank."""
    return collectives.wait_tensor(collectives.broadcast(tensor, owner, group))
