"""A tiny random model of the released family, in each of the three layouts."""

import dataclasses
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers, convert_wan_vae_to_diffusers
from safetensors.torch import load_file
from transformers import CLIPVisionModelWithProjection

from polytalk.checkpoints import image_encoder_from_official, text_encoder_from_official
from polytalk.checkpoints.checkpoint import Checkpoint
from polytalk.checkpoints.layouts import IMAGE_FILE, TEXT_FILE, TOKENIZER_FOLDER, TRANSFORMER_INDEX, VAE_FILE
from polytalk.checkpoints.sizes import image_encoder_sizes, text_encoder_sizes
from polytalk.weights.sizes import TINY as TINY_14B
from polytalk.weights.sizes import ModelSize
from polytalk.weights.synthesize import Recipe, synthesize

WAN, AUDIO, SPEECH = "Wan2.1-I2V-14B-480P", "MeiGen-MultiTalk", "chinese-wav2vec2-base"
TINY = dataclasses.replace(TINY_14B, transformer=dataclasses.replace(TINY_14B.transformer, text_len=512))
"""With as many text tokens as the Diffusers layout takes for granted."""


def write_released(root: Path, size: ModelSize = TINY, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """The three folders as published, side by side below `root`; returns the base network's."""
    root.mkdir(parents=True, exist_ok=True)
    synthesize(root, Recipe(size, dtype, seed))
    image = root / WAN / IMAGE_FILE
    text_half = {"log_scale": torch.zeros(()), "textual.token_embedding.weight": torch.zeros(8, 4)}
    torch.save(torch.load(image, weights_only=True) | text_half, image)
    return root / WAN


def write_diffusers(released: Path, root: Path, size: ModelSize = TINY) -> Path:
    """The same model as diffusers and transformers save it, renamed by diffusers' own converters where it has them."""
    base = dict(Checkpoint.open(released / TRANSFORMER_INDEX))
    dtype = base["patch_embedding.weight"].dtype
    net = size.transformer
    wan = WanTransformer3DModel(
        num_attention_heads=net.num_heads,
        attention_head_dim=net.dim // net.num_heads,
        in_channels=36,
        text_dim=size.text.dim,
        freq_dim=net.freq_dim,
        ffn_dim=net.ffn_dim,
        num_layers=net.num_layers,
        image_dim=size.image.dim,
        added_kv_proj_dim=net.dim,
    ).to(dtype)
    wan.load_state_dict(convert_wan_transformer_to_diffusers(base))
    wan.save_pretrained(root / "transformer", max_shard_size="200KB" if size is TINY else "2GB")
    vae = AutoencoderKLWan(base_dim=size.vae_dim).to(dtype)
    vae.load_state_dict(convert_wan_vae_to_diffusers(dict(Checkpoint.open(released / VAE_FILE))))
    vae.save_pretrained(root / "vae")
    text = Checkpoint.open(released / TEXT_FILE)
    text_encoder_from_official(dict(text), text_encoder_sizes(text.shapes)).save_pretrained(root / "text_encoder")
    _save_image_encoder(Checkpoint.open(released / IMAGE_FILE), root / "image_encoder")
    shutil.copytree(released / TOKENIZER_FOLDER, root / "tokenizer")
    (root / "image_processor").mkdir()
    (root / "image_processor" / "preprocessor_config.json").write_text('{"image_processor_type": "CLIPImageProcessor"}')
    UniPCMultistepScheduler(flow_shift=3.0).save_pretrained(root / "scheduler")
    (root / "model_index.json").write_text(json.dumps({"_class_name": "WanImageToVideoPipeline"}))
    return root


def _save_image_encoder(released: Checkpoint, folder: Path) -> None:
    """With its projection, as it is published in this layout."""
    vision = image_encoder_from_official(dict(released), image_encoder_sizes(released.shapes))
    whole = CLIPVisionModelWithProjection(vision.config).to(vision.dtype)
    (whole.vision_model if hasattr(whole, "vision_model") else whole).load_state_dict(vision.state_dict(), strict=False)
    whole.save_pretrained(folder)
    assert "visual_projection.weight" in load_file(folder / "model.safetensors")
