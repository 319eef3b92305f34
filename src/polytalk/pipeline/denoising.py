"""Guided predictions of the network for one clip, as the velocity that the sampler follows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from polytalk.acceleration.step_cache import StepCache
from polytalk.diffusion import Guidance, GuidancePass
from polytalk.models.conditioning import Conditioning
from polytalk.models.transformer import MultiTalkTransformer3DModel


def pass_conditioning(
    transformer: MultiTalkTransformer3DModel,
    passes: Sequence[GuidancePass],
    text: Tensor,
    image: Tensor,
    speech: Tensor,
    num_latent_frames: int,
    pose: Tensor | None = None,
) -> list[Conditioning]:
    """Keys and values of text, picture and sound, one set per pass; good for all steps of a clip. What passes have in
    common they share.

    Args:
        transformer: the network.
        passes: predictions that guidance needs.
        text: (2, text_len, text_dim), the prompt and the negative prompt.
        image: (1, tokens, image_dim).
        speech: (P, T, window, layers, channels), windowed features of the clip.
        num_latent_frames: F.
        pose: (P, T, channels), what everybody does besides speaking, the same in all passes; None for networks that
            take no such signal.
    """
    made: list[Conditioning] = []
    for current in passes:
        own = transformer.prepare_conditioning(
            text[:1] if current.has_text else text[1:],
            image,
            # without sound the features are zero and, unless there is a pose for everybody, stand for one person
            speech[None] if current.has_audio else None,
            num_latent_frames,
            None if pose is None else pose[None],
        )
        for earlier, other in zip(passes, made, strict=False):  # gigabytes at 14B
            same_text, same_audio = earlier.has_text == current.has_text, earlier.has_audio == current.has_audio
            own = own.sharing(other, text=same_text, image=True, audio=same_audio)
        made.append(own)
    return made


class GuidedVelocity:
    """The sampler's velocity for one clip: the network called once (or once per pass) a step, then guidance.

    Args:
        transformer: the network.
        guidance: weights.
        conditioning: one per pass of `guidance.passes()`.
        condition: (1, 4 + C, F, H, W) mask and condition latents.
        speaker_masks: (P, H, W) bool, or None for one person.
        batched: call the network once for all passes.
        step_cache: leaves out steps; entered by the caller.
        in_turn: with `batched`, the blocks run the passes one after the other, so that nothing need be stacked.
        home: with `in_turn`, where keys and values wait until a block works; None leaves them on the device.
    """

    def __init__(
        self,
        transformer: MultiTalkTransformer3DModel,
        guidance: Guidance,
        conditioning: Sequence[Conditioning],
        condition: Tensor,
        speaker_masks: Tensor | None,
        *,
        batched: bool = True,
        step_cache: StepCache | None = None,
        in_turn: bool = False,
        home: torch.device | None = None,
    ) -> None:
        self.transformer, self.condition, self.speaker_masks = transformer, condition, speaker_masks
        self.passes = guidance.passes()
        self._guided = guidance.start_clip()
        self._batched = batched and len(conditioning) > 1
        self._step_cache, self._step = step_cache, 0
        self._calls = list(conditioning)
        if self._batched:
            stack = Conditioning.side_by_side(conditioning, home) if in_turn else Conditioning.concatenate(conditioning)
            self._calls = [stack]
        self.watch_labels = False
        """Set before a call to have `labels` filled by it."""
        self.labels: list[Tensor] | None = None
        """Per block (F, H / 2, W / 2): who each token of the full prediction belongs to, P for the background."""
        self.watch_maps = False
        """Set before a call to have `maps`, and `labels`, filled by it."""
        self.maps: list[Tensor] | None = None
        """Of the latest call, per block (P + 1, L): mean attention to a token of each person and of the background."""

    def __call__(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Latents (1, C, F, H, W) at a timestep () to the guided velocity, float32."""
        size = len(self.passes) if self._batched else 1
        model_input = torch.cat([latents, self.condition], dim=1).expand(size, -1, -1, -1, -1)
        outputs = []
        watched, self.maps = self.watch_labels or self.watch_maps, None
        if watched and self._step_cache is not None:
            self._step_cache.before_maps()
        for index, conditioning in enumerate(self._calls):
            masks = self.speaker_masks
            if masks is not None and conditioning.people > 1:
                masks = masks[None].expand(size, -1, -1, -1)
            elif masks is not None:
                masks = None
            # one memory per prediction, so that none is given another's
            cache = self._step_cache.context(f"call_{index}", self._step) if self._step_cache else nullcontext()
            with cache:
                result = self.transformer(
                    model_input,
                    timestep.expand(size),
                    conditioning=conditioning,
                    speaker_masks=masks,
                    return_reference_maps=self.watch_maps and index == 0 and masks is not None,
                    return_labels=watched and index == 0 and masks is not None,
                )
            outputs.append(result.sample.float())
            if result.labels is not None:
                self.labels = [labels[0] for labels in result.labels]
            if result.reference_maps is not None:
                self.maps = [reference_map[0] for reference_map in result.reference_maps]
        self._step += 1
        predictions = torch.cat(outputs).split(1)
        return self._guided.combine(dict(zip(self.passes, predictions, strict=True)))
