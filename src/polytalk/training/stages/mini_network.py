"""What stages "network" and "distillation" train: mini's transformer and its small encoders; settings and inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from polytalk.models.mini.encoders import MiniImageEncoder, MiniTextEncoder
from polytalk.models.transformer import MultiTalkTransformer3DModel
from polytalk.motion.idle import CHANNELS
from polytalk.training.latents import LatentPoolConfig
from polytalk.training.loop import LoopConfig
from polytalk.training.stages.speech import SpeechConfig


@dataclass(frozen=True)
class TaskConfig:
    """A pool and how often it is drawn from."""

    pool: LatentPoolConfig
    """The clips."""
    weight: float = 1.0
    """Relative number of steps."""
    batch: int = 8
    """Clips per step."""


@dataclass(frozen=True)
class NetworkStageConfig:
    """Stage "network"."""

    tasks: tuple[TaskConfig, ...]
    """Pools mixed in training."""
    out: str = "runs/network"
    """Folder of checkpoints, log and weights."""
    init: str | None = None
    """Weights of an earlier stage to go on from."""
    autoencoder: str = "runs/autoencoder/model.safetensors"
    """Weights of stage "autoencoder"."""
    speech: str = "runs/speech/model.safetensors"
    """Weights of stage "speech"."""
    true_labels: tuple[float, float] = (1.0, 0.0)
    """Share of clips that get true labels in place of the map's: at the start, and from `anneal` on."""
    anneal: float = 0.6
    """Share of the steps after which the second value of true_labels holds."""
    mouth_weight: float = 15.0
    """Weight of mouths in the loss; the background has 1."""
    face_weight: float = 2.0
    """Weight of faces in the loss."""
    eye_weight: float | None = None
    """Weight of eyes in the loss; None: that of faces."""
    change_weight: float = 0.0
    """Further weight, at most, of what differs from what the condition shows: eyelids, the edges of heads that move."""
    channel_power: float = 0.0
    """How far each latent channel counts by what an error in it does to the pixels: 0 not at all, 1 in proportion."""
    decoded_weight: float = 0.0
    """Weight of the error of decoded mouths and eyes, see `polytalk.training.decoded`."""
    decoded_eyes: float = 0.0
    """Share of clips of which eyes are decoded in place of a mouth."""
    twin_weight: float = 0.0
    """Further weight of the difference between twins: what the sound alone makes of a scene."""
    map_weight: float = 0.1
    """Weight of the cross-entropy from the reference maps to the true classes."""
    drop_text: float = 0.1
    """Share of clips without prompt."""
    drop_audio: float = 0.08
    """Share of steps without sound, as in the guidance's pass without it."""
    motion_frames: tuple[float, ...] = (0.7, 0.2, 0.1)
    """Shares of clips whose first 1, 2, ... latent frames are known."""
    motion_noise: float = 0.05
    """Largest deviation of the noise on motion frames, drawn per clip. This and the next two are the wear of earlier
    clips, so that the network trusts the reference picture more than its own output."""
    motion_blur: float = 0.0
    """Largest share of motion frames that is replaced by the mean of 3 x 3 latent pixels, drawn per clip."""
    motion_offset: float = 0.0
    """Deviation of a constant per clip and channel added to motion frames: a drift of colour."""
    own_wear: float = 0.0
    """Share of steps whose motion frames bear the network's own errors, of a prediction from noise, besides."""
    drop_pose: float = 0.15
    """Share of clips in which the network does not learn what people do unasked."""
    drop_fill: float = 0.03
    """Share of clips whose later condition frames are zero instead of the reference picture."""
    shift: float = 2.0
    """Shift of the noise levels drawn in training towards noise."""
    validation_scenes: int = 8
    """Held-out scenes of one and of two people rendered at every validation (`loop.validate_every`)."""
    compile: bool = False
    """Compile the blocks (needs a C++ compiler on CPU)."""
    loop: LoopConfig = field(default_factory=LoopConfig)
    """See `LoopConfig`."""


class MiniNetwork(nn.Module):
    """All that this stage trains: the transformer and the two small encoders that learn with it."""

    def __init__(self) -> None:
        super().__init__()
        self.text_encoder = MiniTextEncoder()
        self.image_encoder = MiniImageEncoder()
        self.transformer = build_transformer()


def build_transformer() -> MultiTalkTransformer3DModel:
    """The transformer at mini's size."""
    speech = SpeechConfig()
    return MultiTalkTransformer3DModel(
        num_attention_heads=6,
        attention_head_dim=32,
        text_dim=128,
        text_len=None,
        freq_dim=128,
        ffn_dim=768,
        num_layers=6,
        image_dim=128,
        audio_layers=4,
        audio_channels=96,
        audio_hidden_dim=speech.hidden_dim,
        audio_tokens=speech.tokens,
        audio_dim=speech.output_dim,
        prediction_type="reference_change",
        pose_channels=len(CHANNELS),
    )


@dataclass(frozen=True)
class Conditions:
    """What the network is given for B clips of P people, besides the picture in its input."""

    text: Tensor
    """Tokens of the prompts."""
    image: Tensor
    """Tokens of the reference pictures."""
    audio: Tensor | None = None
    """(B, P, T, 5, layers, channels); zeros without sound."""
    pose: Tensor | None = None
    """(B, P, T, channels): what everybody does unasked, see `polytalk.motion.idle`."""
    masks: Tensor | None = None
    """(B, P, h, w) of several people."""
    labels: Tensor | None = None
    """True classes (B, F, h/2, w/2), -1 where the network's own map decides."""


def predict(
    model: MiniNetwork, inputs: Tensor, sigma: Tensor, conditions: Conditions, maps: Sequence[int] = ()
) -> tuple[Tensor, list[Tensor]]:
    """Clean latents (B, 16, F, h, w) and the reference maps of the named blocks.

    Args:
        model: the network.
        inputs: (B, 36, F, h, w), see `ClipLoss.inputs`.
        sigma: noise levels (B,).
        conditions: what the network is given besides.
        maps: blocks whose reference maps are wanted.
    """
    output = model.transformer(
        inputs.to(model.transformer.dtype), sigma * 1000, conditions.text, conditions.image, conditions.audio,
        conditions.masks, encoder_hidden_states_pose=conditions.pose, speaker_labels=conditions.labels,
        return_reference_maps=list(maps),
    )  # fmt: skip
    return inputs[:, :16] - sigma.view(-1, 1, 1, 1, 1) * output.sample.float(), output.reference_maps
