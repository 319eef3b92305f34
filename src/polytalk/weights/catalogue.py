"""The published files that Polytalk runs on: where they are, how large, and what each is for.

Sizes and hashes are those of the repositories at the time of writing where they are known; a download asks the hub for
the current ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from polytalk.errors import PolytalkError


@dataclass(frozen=True)
class PublishedFile:
    """One file of a repository."""

    path: str
    """In the repository."""
    size: int | None = None
    """Bytes, where known."""
    sha256: str | None = None
    """Where known."""
    revision: str = "main"
    """Branch, or pull request of the repository, that holds it."""


@dataclass(frozen=True)
class Published:
    """A repository on the Hugging Face hub, or the part of one that is needed."""

    name: str
    """What it is called here."""
    repository: str
    """owner/name."""
    role: str
    """base, audio, speech, lora or quantised."""
    note: str
    """What it is."""
    files: tuple[PublishedFile, ...] = field(repr=False)
    """All that are read."""
    about: float | None = None
    """Gigabytes (1e9) to two or three digits, where exact sizes are not known here."""

    @property
    def folder(self) -> str:
        """Folder that it is downloaded to, the name its own documentation uses."""
        return self.repository.split("/")[1]

    @property
    def size(self) -> float | None:
        """Bytes of all files, small ones aside; None when not even about known."""
        large = [file.size for file in self.files if file.path.endswith((".safetensors", ".pth"))]
        if None in large:
            return None if self.about is None else self.about * 1e9
        return sum(size or 0 for size in large)


_TEXT = PublishedFile(
    "models_t5_umt5-xxl-enc-bf16.pth",
    11_361_920_418,
    "7cace0da2b446bbbbc57d031ab6cf163a3d59b366da94e5afe36745b746fd81d",
)
_IMAGE = PublishedFile(
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    4_772_359_047,
    "628c9998b613391f193eb67ff68da9667d75f492911e4eb3decf23460a158c38",
)
_VAE = PublishedFile("Wan2.1_VAE.pth", 507_609_880, "38071ab59bd94681c686fa51d75a1968f64e470262043be31f7a094e442fd981")
_TOKENIZER_SIZES = {
    "special_tokens_map.json": 6_623,
    "spiece.model": 4_548_313,
    "tokenizer.json": 16_837_417,
    "tokenizer_config.json": 61_728,
}
_SHARDS_480P = (9847223624, 9797021016, 9797041744, 9692142864, 9692142864, 9692142864, 7061933536)
"""Float32. The 720P network has the same tensors."""
_TRANSFORMER_DIFFUSERS = (4929161040, 4951011392, 4951011392, 4951093744, *[4846133208] * 9, 2182996112)
_TEXT_DIFFUSERS = (4972389712, 4899225672, 4966309504, 4999880704, 2885866152)


def _wan(name: str, size_class: str) -> Published:
    shards = tuple(
        PublishedFile(f"diffusion_pytorch_model-{index:05d}-of-00007.safetensors", size)
        for index, size in enumerate(_SHARDS_480P, 1)
    )
    tokenizer = tuple(PublishedFile(f"google/umt5-xxl/{file}", size) for file, size in _TOKENIZER_SIZES.items())
    small = (PublishedFile("config.json", 250), PublishedFile("diffusion_pytorch_model.safetensors.index.json"))
    note = f"Wan 2.1 image to video, {size_class}: network, autoencoder, text and picture encoder"
    files = (*small, *shards, _TEXT, _IMAGE, _VAE, *tokenizer)
    return Published(name, f"Wan-AI/Wan2.1-I2V-14B-{size_class}", "base", note, files)


def _wan_diffusers(name: str, size_class: str) -> Published:
    def sharded(folder: str, stem: str, sizes: tuple[int, ...]) -> list[PublishedFile]:
        count = len(sizes)
        shards = [f"{folder}/{stem}-{index:05d}-of-{count:05d}.safetensors" for index in range(1, count + 1)]
        index = PublishedFile(f"{folder}/{stem}.safetensors.index.json")
        files = [PublishedFile(shard, size) for shard, size in zip(shards, sizes, strict=True)]
        return [PublishedFile(f"{folder}/config.json"), index, *files]

    files = [
        PublishedFile("model_index.json"),
        PublishedFile("scheduler/scheduler_config.json"),
        PublishedFile("image_processor/preprocessor_config.json"),
        *sharded("transformer", "diffusion_pytorch_model", _TRANSFORMER_DIFFUSERS),
        *sharded("text_encoder", "model", _TEXT_DIFFUSERS),
        *(PublishedFile(f"tokenizer/{file}", size) for file, size in _TOKENIZER_SIZES.items()),
        PublishedFile("image_encoder/config.json"),
        PublishedFile("image_encoder/model.safetensors", 1_264_217_760),
        PublishedFile("vae/config.json", 724),
        PublishedFile(
            "vae/diffusion_pytorch_model.safetensors",
            507_591_892,
            "d6e524b3fffede1787a74e81b30976dce5400c4439ba64222168e607ed19e793",
        ),
    ]
    note = f"the same in the Diffusers layout, {size_class}"
    return Published(name, f"Wan-AI/Wan2.1-I2V-14B-{size_class}-Diffusers", "base", note, tuple(files))


def _one(name: str, repository: str, role: str, about: float | None, note: str, *paths: str) -> Published:
    return Published(name, repository, role, note, tuple(PublishedFile(path) for path in paths), about)


_MULTITALK = "MeiGen-AI/MeiGen-MultiTalk"
_KIJAI = "Kijai/WanVideo_comfy"
CATALOGUE: tuple[Published, ...] = (
    _wan("wan-480p", "480P"),
    _wan("wan-720p", "720P"),
    _wan_diffusers("wan-480p-diffusers", "480P"),
    _wan_diffusers("wan-720p-diffusers", "720P"),
    _one(
        "multitalk",
        _MULTITALK,
        "audio",
        9.95,
        "MultiTalk's audio branch",
        "multitalk.safetensors",
        "diffusion_pytorch_model.safetensors.index.json",
    ),
    Published(
        "wav2vec2",
        "TencentGameMate/chinese-wav2vec2-base",
        "speech",
        "speech encoder",
        (
            PublishedFile("config.json"),
            PublishedFile("preprocessor_config.json"),
            # the main branch has a pickle alone; MultiTalk's documentation takes this pull request's file, too
            PublishedFile("model.safetensors", revision="refs/pr/1"),
        ),
        0.38,
    ),
    _one(
        "lightx2v",
        "lightx2v/Wan2.1-I2V-14B-480P-StepDistill-CfgDistill-Lightx2v",
        "lora",
        0.74,
        "4 steps without guidance, rank 64: for the preset fast",
        "loras/Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64.safetensors",
    ),
    _one(
        "lightx2v-720p",
        "lightx2v/Wan2.1-I2V-14B-720P-StepDistill-CfgDistill-Lightx2v",
        "lora",
        None,
        "the same for 720P",
        "loras/Wan21_I2V_14B_lightx2v_cfg_step_distill_lora_rank64.safetensors",
    ),
    _one(
        "lightx2v-rank64",
        _KIJAI,
        "lora",
        None,
        "lightx2v's as Kijai extracted it, rank 64",
        "Lightx2v/lightx2v_I2V_14B_480p_cfg_step_distill_rank64_bf16.safetensors",
    ),
    _one(
        "lightx2v-t2v",
        _KIJAI,
        "lora",
        None,
        "lightx2v for text to video, rank 32, the one MultiTalk's documentation names",
        "Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32.safetensors",
    ),
    _one(
        "fusionx",
        "vrgamedevgirl84/Wan14BT2VFusioniX",
        "lora",
        0.35,
        "8 steps: for the preset balanced",
        "FusionX_LoRa/Wan2.1_I2V_14B_FusionX_LoRA.safetensors",
    ),
    _one("causvid", _KIJAI, "lora", None, "CausVid, rank 32", "Wan21_CausVid_14B_T2V_lora_rank32.safetensors"),
    _one(
        "multitalk-int8",
        _MULTITALK,
        "quantised",
        19.1,
        "whole network in optimum-quanto's int8",
        "quant_models/dit_model_int8.safetensors",
        "quant_models/dit_model_map_int8.json",
    ),
    _one(
        "multitalk-int8-fusionx",
        _MULTITALK,
        "quantised",
        19.1,
        "the same with FusionX fused in",
        "quant_models/quant_model_int8_FusionX.safetensors",
        "quant_models/quantization_map_int8_FusionX.json",
    ),
)
"""Everything that can be fetched by name."""

SETS = {
    "480p": ("wan-480p", "multitalk", "wav2vec2"),
    "720p": ("wan-720p", "multitalk", "wav2vec2"),
    "480p-diffusers": ("wan-480p-diffusers", "multitalk", "wav2vec2"),
    "720p-diffusers": ("wan-720p-diffusers", "multitalk", "wav2vec2"),
}
"""What a model needs, together."""


def choose(names: list[str]) -> list[Published]:
    """Entries by name or set, each once.

    Raises:
        PolytalkError: unknown.
    """
    by_name = {entry.name: entry for entry in CATALOGUE}
    chosen: dict[str, Published] = {}
    for name in names:
        for part in SETS.get(name, (name,)):
            if part not in by_name:
                remedy = f"Known are {', '.join(SETS)}; {', '.join(by_name)}."
                raise PolytalkError("weights", f"{name!r} is not in the catalogue", remedy)
            chosen[part] = by_name[part]
    return list(chosen.values())
