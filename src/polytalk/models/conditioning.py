"""What a clip's text, picture and sound become for the blocks: keys and values, for one guidance pass or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from polytalk.errors import PolytalkError
from polytalk.models.attention import ContextKeyValues


class ContextPasses(NamedTuple):
    """Keys and values of one block for each sample of a batch by itself, which may share tensors and hear different
    numbers of people. For whoever runs a block's samples one after the other."""

    samples: tuple[ContextKeyValues, ...]
    """one per sample, of batch 1"""

    @property
    def audio_key(self) -> Tensor:
        """Of the first sample."""
        return self.samples[0].audio_key


@dataclass(frozen=True)
class Conditioning:
    """All that depends on text, picture or sound alone: each block's keys and values. Made once per clip by
    `MultiTalkTransformer3DModel.prepare_conditioning`, used at every step."""

    blocks: tuple[ContextKeyValues | ContextPasses, ...]
    """one entry per block"""
    people: int
    """voices the audio keys hold"""
    binds: Tensor | None = None
    """(B,) bool: samples whose labels matter; None = all of them, if there are several people"""

    @staticmethod
    def concatenate(parts: Sequence[Conditioning]) -> Conditioning:
        """Stack conditionings along the batch, e.g. those of guidance's passes.

        A one-person pass beside many-people ones has its voice repeated: attention over identical copies equals
        attention over one, and its samples are not rotated.
        """
        people = _common_people(parts)
        blocks = []
        for entries in zip(*(part.blocks for part in parts), strict=True):
            voices = [_repeat_voice(kv, people // part.people) for kv, part in zip(entries, parts, strict=True)]
            columns = zip(*voices, strict=True)
            stacked: list[Any] = [None if column[0] is None else torch.cat(column) for column in columns]
            blocks.append(ContextKeyValues(*stacked))
        return Conditioning(tuple(blocks), people, _binds(parts, people))

    @staticmethod
    def side_by_side(parts: Sequence[Conditioning], home: torch.device | None = None) -> Conditioning:
        """Like `concatenate`, for blocks that run their samples one after the other: nothing is copied or repeated.

        Args:
            parts: conditionings of batch 1.
            home: where the keys and values wait, pinned for a GPU, until a block brings its own; None leaves them.
        """
        people = _common_people(parts)
        moved: dict[int, Tensor] = {}

        def settle(tensor: Tensor | None) -> Tensor | None:
            if tensor is None or home is None or tensor.device == home:
                return tensor
            if id(tensor) not in moved:  # passes share tensors
                waiting = torch.empty_like(tensor, device=home, pin_memory=tensor.is_cuda)
                moved[id(tensor)] = waiting.copy_(tensor)
            return moved[id(tensor)]

        blocks: list[ContextPasses] = []
        for entries in zip(*(part.blocks for part in parts), strict=True):
            samples = [[settle(tensor) for tensor in entry] for entry in entries]
            blocks.append(ContextPasses(tuple(ContextKeyValues._make(sample) for sample in samples)))
        return Conditioning(tuple(blocks), people, _binds(parts, people))

    def sharing(self, other: Conditioning, *, text: bool, image: bool, audio: bool) -> Conditioning:
        """The same with the tensors of `other` for what both were made of."""
        names = ["text"] * text + ["image"] * image + ["audio"] * audio
        fields = [f"{name}_{kind}" for name in names for kind in ("key", "value")]
        pairs: Any = zip(self.blocks, other.blocks, strict=True)
        blocks = tuple(own._replace(**{field: getattr(its, field) for field in fields}) for own, its in pairs)
        return replace(self, blocks=blocks)

    def samples(self, which: slice) -> Conditioning:
        """Some samples of the batch; views."""

        def cut(entry: ContextKeyValues | ContextPasses) -> ContextKeyValues | ContextPasses:
            if isinstance(entry, ContextPasses):
                return ContextPasses(entry.samples[which])
            return ContextKeyValues._make(None if x is None else x[which] for x in entry)

        binds = None if self.binds is None else self.binds[which]
        return replace(self, blocks=tuple(map(cut, self.blocks)), binds=binds)

    def for_one_person(self) -> Conditioning:
        """Of samples that hear one person, whose voice had been repeated to stand beside others with several people."""

        def first(entry: ContextKeyValues | ContextPasses) -> ContextKeyValues | ContextPasses:
            # samples side by side are not repeated
            return entry if isinstance(entry, ContextPasses) else first_voice(entry, self.people)

        return replace(self, blocks=tuple(map(first, self.blocks)), people=1, binds=None)


def first_voice(context: ContextKeyValues, people: int) -> ContextKeyValues:
    """Keys and values with one voice of `people` equal ones: attention to one is the same."""
    count = context.audio_key.shape[2] // people
    return context._replace(audio_key=context.audio_key[:, :, :count], audio_value=context.audio_value[:, :, :count])


def _common_people(parts: Sequence[Conditioning]) -> int:
    people = max(part.people for part in parts)
    if any(part.people not in (1, people) for part in parts):
        found = sorted({part.people for part in parts})
        raise PolytalkError("conditioning", f"passes have {found} people", "Give 1 or one common number.")
    return people


def _binds(parts: Sequence[Conditioning], people: int) -> Tensor | None:
    return torch.cat([_binding_samples(part) for part in parts]) if people > 1 else None


def _repeat_voice(kv: Any, times: int) -> ContextKeyValues:
    repeats = (1, 1, times, 1, 1)
    return kv._replace(audio_key=kv.audio_key.repeat(repeats), audio_value=kv.audio_value.repeat(repeats))


def _binding_samples(part: Conditioning) -> Tensor:
    first: Any = part.blocks[0]
    key = first.text_key
    return key.new_full(key.shape[:1], part.people > 1, dtype=torch.bool) if part.binds is None else part.binds
