"""The released model's files, opened: for each network how it is built and which tensors fill it.

Names and shapes are compared before any weight is read. `*_from_official` build the networks from tensors in memory.
Libraries' classes are imported when one is built: they take a second, and the embedded model needs none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelerate.big_modeling import init_empty_weights
from torch import Tensor, nn

from polytalk.checkpoints import layouts
from polytalk.checkpoints import names as published
from polytalk.checkpoints import sizes as checkpoint_sizes
from polytalk.checkpoints.checkpoint import Checkpoint, read_index
from polytalk.checkpoints.fill import check_names, load_into
from polytalk.checkpoints.layouts import Layout, ModelLocation, existing, read_json
from polytalk.checkpoints.names import Plan
from polytalk.checkpoints.packed import is_quantized, plain_form, with_quantized_layers
from polytalk.config.index import ModelIndex, released_config
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.models.library_internals import tied_weights
from polytalk.models.transformer import MultiTalkTransformer3DModel

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan
    from transformers import CLIPVisionModel, UMT5EncoderModel

WAN_CLASSES = {
    "transformer": "MultiTalkTransformer3DModel",
    "vae": "AutoencoderKLWan",
    "text_encoder": "UMT5EncoderModel",
    "tokenizer": "AutoTokenizer",
    "image_encoder": "CLIPVisionModel",
    "speech_encoder": "Wav2Vec2Model",
}
"""Component -> class, as our own layout's index lists them."""


@dataclass(frozen=True)
class Part:
    """One network on disk."""

    build: Callable[[], nn.Module]
    """Makes it, with whatever numbers."""
    tensors: Checkpoint
    """In the names of the network's state dict."""
    unused: tuple[str, ...] = ()
    """The files' tensors that it does not need."""

    def check(self) -> None:
        """Compare names and shapes without reading any weight.

        Raises:
            PolytalkError: naming file and tensor.
        """
        with init_empty_weights(include_buffers=False):
            model = self.build()
        extra = tied_weights(model)
        wanted = {name: tuple(value.shape) for name, value in model.state_dict().items() if name not in extra}
        found = {name: shape for name, shape in self.tensors.shapes.items() if name not in extra}
        check_names(wanted, found, self.tensors.source)


@dataclass(frozen=True)
class WanFiles:
    """A model of the released family on disk, opened but not read."""

    layout: Layout
    transformer: Part
    vae: Part
    text_encoder: Part
    image_encoder: Part
    speech_encoder: Part
    tokenizer: Path
    """Folder of google/umt5-xxl."""
    config: PipelineConfig
    """How the model is run."""

    def parts(self) -> dict[str, Part]:
        """The networks by name."""
        names = ("transformer", "vae", "text_encoder", "image_encoder", "speech_encoder")
        return {name: getattr(self, name) for name in names}


def open_files(location: ModelLocation) -> WanFiles:
    """Open a model's files in any of the three layouts.

    Raises:
        PolytalkError: a file is missing or damaged, or holds another kind of model; names file and tensor.
    """
    config = run_config(location)
    parts = {name: opener() for name, opener in part_openers(location).items()}
    files = WanFiles(location.layout, **parts, tokenizer=existing(tokenizer_folder(location)), config=config)
    for part in files.parts().values():
        part.check()
    return files


def part_openers(location: ModelLocation) -> dict[str, Callable[[], Part]]:
    """What opens each network's files, so that one can be looked at when another is missing or damaged."""
    root = location.root
    if location.layout is Layout.RELEASED:
        return {
            "speech_encoder": lambda: _speech_part(location),
            "transformer": lambda: _released_transformer(location),
            "vae": lambda: _released_vae(root),
            "text_encoder": lambda: _released_text_encoder(root),
            "image_encoder": lambda: _released_image_encoder(root),
        }
    own = location.layout is Layout.OWN
    speech = replace(location, speech=root / "speech_encoder") if own else location
    return {
        "speech_encoder": lambda: _speech_part(speech),
        "transformer": lambda: _own_transformer(root) if own else _diffusers_transformer(location),
        "vae": lambda: _library_vae(root / "vae"),
        "text_encoder": lambda: _library_text_encoder(root / "text_encoder"),
        "image_encoder": lambda: _library_image_encoder(root / "image_encoder"),
    }


def tokenizer_folder(location: ModelLocation) -> Path:
    """Where google/umt5-xxl's tokenizer should be."""
    return location.root / (layouts.TOKENIZER_FOLDER if location.layout is Layout.RELEASED else "tokenizer")


def run_config(location: ModelLocation) -> PipelineConfig:
    """How the model is run."""
    if location.layout is Layout.OWN:
        return ModelIndex.read(location.root).config
    scheduler = location.root / "scheduler" / "scheduler_config.json"
    diffusers = location.layout is Layout.DIFFUSERS and scheduler.is_file()
    return released_config(location.name, read_json(scheduler).get("flow_shift") if diffusers else None)


def planned(checkpoint: Checkpoint, plan: Plan) -> Checkpoint:
    """A checkpoint's tensors under our names; nothing is read."""
    entries = {}
    for ours, origin in plan.items():
        entry = checkpoint.entries[origin.name]
        entries[ours] = replace(entry, part=origin.part or entry.part, shape=origin.shape(entry.shape))
    return Checkpoint(entries, checkpoint.source)


def _part(build: Callable[[], nn.Module], checkpoint: Checkpoint, plan: Plan, more: Iterable[str] = ()) -> Part:
    unused = (*published.unused_names(checkpoint, plan), *more)
    return Part(build, planned(checkpoint, plan), unused)


def _released_transformer(location: ModelLocation) -> Part:
    root = location.root
    stated = published.transformer_config(_stated_config(root))
    return _transformer(location, lambda: _base_checkpoint(root, location.audio), published.transformer_plan, stated)


def _released_vae(root: Path) -> Part:
    vae = Checkpoint.open(existing(root / layouts.VAE_FILE))
    with _naming(vae):
        wan = published.vae_config(checkpoint_sizes.vae_sizes(vae.shapes))
    return _part(lambda: _autoencoder_class()(**wan), vae, published.vae_plan(vae))


def _released_text_encoder(root: Path) -> Part:
    text = Checkpoint.open(existing(root / layouts.TEXT_FILE))
    with _naming(text):
        umt5 = published.text_encoder_config(checkpoint_sizes.text_encoder_sizes(text.shapes))
    return _part(lambda: _class("UMT5EncoderModel")(umt5), text, published.text_encoder_plan(text))


def _released_image_encoder(root: Path) -> Part:
    image = Checkpoint.open(existing(root / layouts.IMAGE_FILE))
    with _naming(image):
        clip = published.image_encoder_config(checkpoint_sizes.image_encoder_sizes(image.shapes))
    return _part(lambda: _class("CLIPVisionModel")(clip), image, published.image_encoder_plan(image))


def _diffusers_transformer(location: ModelLocation) -> Part:
    folder = location.root / "transformer"
    stated = published.diffusers_transformer_config(read_json(folder / "config.json"), str(folder))
    plan = published.diffusers_transformer_plan
    return _transformer(location, lambda: Checkpoint.open(existing(folder)), plan, stated)


def _own_transformer(root: Path) -> Part:
    folder = root / "transformer"
    config = read_json(folder / "config.json")
    network = Checkpoint.open(existing(folder))
    build = _with_quantized(lambda: _from_config(MultiTalkTransformer3DModel, config, folder), network)
    return Part(build, network)


def _library_vae(folder: Path) -> Part:
    config = read_json(folder / "config.json")
    return Part(lambda: _from_config(_autoencoder_class(), config, folder), Checkpoint.open(existing(folder)))


def _library_text_encoder(folder: Path) -> Part:
    umt5, tensors = _library_config("UMT5Config", folder), Checkpoint.open(existing(folder))
    return _part(lambda: _class("UMT5EncoderModel")(umt5), tensors, published.library_text_encoder_plan(tensors))


def _library_image_encoder(folder: Path) -> Part:
    clip, tensors = _library_config("CLIPVisionConfig", folder), Checkpoint.open(existing(folder))
    return _part(lambda: _class("CLIPVisionModel")(clip), tensors, published.library_image_encoder_plan(tensors))


def _speech_part(location: ModelLocation) -> Part:
    assert location.speech is not None
    config = _library_config("Wav2Vec2Config", location.speech)
    names = ("model.safetensors", "pytorch_model.bin")
    path = next((location.speech / name for name in names if (location.speech / name).is_file()), None)
    if path is None:
        raise PolytalkError(str(location.speech), f"there is no {' or '.join(names)}", layouts.DOWNLOAD)
    checkpoint = Checkpoint.open(path)
    return _part(lambda: _class("Wav2Vec2Model")(config), checkpoint, published.speech_encoder_plan(checkpoint))


def _speech_features(folder: Path) -> tuple[int, int]:
    """(layers, channels) of the speech encoder's features."""
    config = _library_config("Wav2Vec2Config", folder)
    return config.num_hidden_layers, config.hidden_size


def _base_checkpoint(root: Path, audio: Path | None) -> Checkpoint:
    """The base network's shards; its index may have been replaced by the audio branch's, which names both."""
    index, single = root / layouts.TRANSFORMER_INDEX, root / layouts.TRANSFORMER_FILE
    packed = sorted(root.glob("*.gguf"))
    if not index.is_file() and (single.is_file() or len(packed) == 1):
        return Checkpoint.open(single if single.is_file() else packed[0])
    return Checkpoint.open(existing(index), search=[audio.parent] if audio else ())


def _transformer(
    location: ModelLocation,
    open_base: Callable[[], Checkpoint],
    make_plan: Callable[[Iterable[str]], Plan],
    stated: Mapping[str, Any],
) -> Part:
    """Base network and audio branch as one. A file that holds both, as quantised ones do, needs no base."""
    assert location.audio is not None
    assert location.speech is not None
    speech = _speech_features(location.speech)
    audio = _plain(Checkpoint.open(location.audio), location.audio)
    if "patch_embedding.weight" in audio:
        base = union = audio
        unused: list[str] = []
    else:
        base = _plain(open_base(), location.root)
        union, unused = _merge(base, audio, location.audio)
    plan = published.transformer_plan(union) if base is audio else make_plan(union)
    tensors = planned(union, plan)
    sizes = checkpoint_sizes.transformer_sizes(tensors.shapes, stated, speech, base.source, audio.source)
    return _part(_with_quantized(lambda: MultiTalkTransformer3DModel(**sizes), tensors), union, plan, unused)


def _with_quantized(build: Callable[[], nn.Module], tensors: Checkpoint) -> Callable[[], nn.Module]:
    """`build`, with layers that hold quantised weights where the file has such."""
    return with_quantized_layers(build, tensors) if is_quantized(tensors) else build


def _plain(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Without optimum-quanto's packing of names; its map lies beside the file, of the same ending if there are more."""
    folder = path.parent if path.is_file() else path
    maps = sorted(folder.glob("quantization_map*.json"))
    # as published: dit_model_int8 with dit_model_map_int8, quant_model_int8_FusionX with quantization_map_int8_FusionX
    same = [file for file in folder.glob("*_map_*.json") if file.stem.replace("_map", "") == path.stem]
    same += [file for file in maps if path.stem.endswith(file.stem.removeprefix("quantization_map"))]
    return plain_form(checkpoint, next(iter(same), maps[0] if len(maps) == 1 else None))


def _merge(base: Checkpoint, audio: Checkpoint, audio_file: Path) -> tuple[Checkpoint, list[str]]:
    """Both files' tensors, and those of which only the other file's is used.

    Where both hold a tensor, the index beside the audio branch decides; without it the audio branch's file does.
    """
    index = audio_file.parent / layouts.TRANSFORMER_INDEX
    places = read_index(index) if index.is_file() else {}
    yields = {name for name in audio if name in base and places.get(name, audio_file.name) != audio_file.name}
    unused = [f"{name} ({audio_file})" for name in sorted(yields)]
    for name in sorted(set(audio) & set(base) - yields):
        if base.file_of(name) != audio.file_of(name):
            unused.append(f"{name} ({base.file_of(name)})")
    return base.merged(audio.selected(name for name in audio if name not in yields)), unused


def _stated_config(root: Path) -> dict[str, Any]:
    path = root / "config.json"
    return read_json(path) if path.is_file() else {}


def _library_config(name: str, folder: Path) -> Any:
    content = read_json(folder / "config.json")
    with _describing(folder):
        return _class(name).from_dict(content)


def _from_config(cls: Any, config: Mapping[str, Any], folder: Path) -> Any:
    with _describing(folder):
        return cls.from_config(dict(config))


def transformer_from_official(state_dict: Mapping[str, Tensor], config: dict[str, Any]) -> MultiTalkTransformer3DModel:
    """The network from a released state dict; `config` has the release's keys.

    Raises:
        PolytalkError: naming tensors that are missing, left over or of another shape; so do the others.
    """
    sizes, plan = published.transformer_config(config), published.transformer_plan(state_dict)
    return _filled(lambda: MultiTalkTransformer3DModel(**sizes), state_dict, plan, "transformer checkpoint")


def vae_from_official(state_dict: Mapping[str, Tensor], config: dict[str, Any]) -> AutoencoderKLWan:
    """Wan2.1_VAE.pth -> diffusers' autoencoder, whose config holds the latents' mean and deviation.

    `config` as in `vae_config`.
    """
    sizes, plan = published.vae_config(config), published.vae_plan(state_dict, config.get("num_res_blocks", 2))
    return _filled(lambda: _autoencoder_class()(**sizes), state_dict, plan, "autoencoder checkpoint")


def text_encoder_from_official(state_dict: Mapping[str, Tensor], config: dict[str, Any]) -> UMT5EncoderModel:
    """models_t5_umt5-xxl-enc-bf16.pth -> transformers' UMT5 encoder; `config` as in `text_encoder_config`."""
    umt5, plan = published.text_encoder_config(config), published.text_encoder_plan(state_dict)
    return _filled(lambda: _class("UMT5EncoderModel")(umt5), state_dict, plan, "text encoder checkpoint")


def image_encoder_from_official(state_dict: Mapping[str, Tensor], config: dict[str, Any]) -> CLIPVisionModel:
    """The picture half of the released CLIP -> transformers' CLIP vision model, whose `hidden_states[-2]` is used.

    `config` as in `image_encoder_config`.
    """
    clip, plan = published.image_encoder_config(config), published.image_encoder_plan(state_dict)
    return _filled(lambda: _class("CLIPVisionModel")(clip), state_dict, plan, "image encoder checkpoint")


def _filled(build: Callable[[], Any], state_dict: Mapping[str, Tensor], plan: Plan, source: str) -> Any:
    return load_into(build, published.translate(state_dict, plan), source=source)


def _autoencoder_class() -> Any:
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan


def _class(name: str) -> Any:
    import transformers

    return getattr(transformers, name)


@contextmanager
def _describing(folder: Path) -> Iterator[None]:
    """A scope in which a configuration that no model can be built from is named."""
    try:
        yield
    except PolytalkError:
        raise
    except Exception as error:  # the libraries' validators have errors of their own
        reason = " ".join(str(error).split())[:200]
        raise PolytalkError(
            str(folder / "config.json"), f"does not describe a model ({reason})", layouts.DOWNLOAD
        ) from error


@contextmanager
def _naming(checkpoint: Checkpoint) -> Iterator[None]:
    """A scope in which a tensor that is looked for in vain is named together with its file."""
    try:
        yield
    except KeyError as error:
        raise PolytalkError(checkpoint.source, f"lacks tensor {error.args[0]}", layouts.DOWNLOAD) from None
