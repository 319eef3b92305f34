"""What is asked for, whichever door it comes through: `GenerateRequest`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polytalk.config.knobs import MODEL, SAMPLING, VIDEO, check_knobs, knob, knobs_of, takes_knobs_of
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.scene.box import Box
from polytalk.units import PIXEL_STEP

MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
@takes_knobs_of(PipelineConfig, LoadOptions)
class GenerateRequest:
    """One video to make: who speaks what where, how it is made, and where it goes. None is not asked for.

    Besides the fields below it has every knob of `PipelineConfig` and `LoadOptions`.

    Example:
        generate(GenerateRequest(image="us.jpg", speakers=["anna.wav", "ben.wav"], output="talk.mp4"))

    Raises:
        PolytalkError: a field that makes no sense by itself, or two that contradict each other.
    """

    output: Any = knob(
        None, "Video to write, .mp4; or .m3u8 for HLS.", panel=VIDEO, flags=("-o",), typed=Path, plans=False
    )
    image: Any = knob(None, "Picture of the people.", typed=Path)
    video: Any = knob(
        None,
        "Video of the people, instead of a picture: their faces speak anew, the rest stays. Any frame rate; the result "
        "has 25 a second.",
        typed=Path,
    )
    speakers: Sequence[Any] = knob(
        (),
        "A person's voice, any sound or video file; once per person.",
        flags=("--speaker",),
        typed=list[Path],
    )
    boxes: Sequence[Box] = knob(
        (),
        "left,top,right,bottom: where the speaker named before is, in pixels of the picture as shown.",
        flags=("--box",),
        typed=list[str],
    )
    prompt: str | None = knob(None, "What happens, in words.")
    negative_prompt: str | None = knob(None, "What must not happen.")
    scene: Any = knob(None, "Scene file instead of image, speakers and boxes.", typed=Path)
    script: Path | None = knob(
        None, "Who says what and when: a script (.txt: lines like Anna: Hello.), .srt, .vtt, .rttm or .json."
    )
    recording: Path | None = knob(
        None,
        "One recording of everybody: the voices in it are found; with a script its times say who speaks when.",
    )
    num_voices: int | None = knob(None, "How many people speak in the recording.", shown_default="estimated", least=1)
    separate_music: bool = knob(False, "Tell voices apart, and move mouths, without the music in the recording.")
    voices: Sequence[str] = knob(
        (),
        "Voice for somebody's texts: Anna=heart. Again for others.",
        flags=("--voice",),
        typed=list[str],
    )
    points: Sequence[tuple[float, float]] = knob(
        (),
        "x,y: the speaker named before is the person there; instead of a box.",
        flags=("--point",),
        typed=list[str],
        plans=False,
    )
    masks: Sequence[Any] = knob(
        (),
        "Picture of a speaker's very shape, white on black, one per speaker; or one with a colour for each, from left "
        "to right.",
        flags=("--mask",),
        typed=list[Path],
        plans=False,
    )
    assign: Sequence[str] = knob(
        (),
        "Anna=2 or 1=2: a voice, by name or number, is that of the second person from the left. Again for others.",
        typed=list[str],
        plans=False,
    )
    swap: bool = knob(False, "Exchange the people of the first two voices.", plans=False)
    find: bool = knob(
        True, "Look for people; off, the picture is divided evenly from left to right where no box says otherwise."
    )
    arrangement: str | None = knob(
        None,
        "together: all voices start at once. turns: one after the other.",
    )

    size: Any = knob(
        None,
        "WIDTHxHEIGHT in pixels, multiples of 16; or the shorter side alone, with the picture's aspect.",
        panel=VIDEO,
        typed=str,
        shown_default="the model's, by the picture's aspect",
    )
    size_class: str | None = knob(
        None, "480p or 720p; the released model knows both.", panel=VIDEO, shown_default="the model's"
    )
    max_seconds: float | None = knob(
        None, "Stop the video after so many seconds.", panel=VIDEO, shown_default="the sound's", above=0
    )
    save_masks: Path | None = knob(
        None, "Picture to write that shows who is where, e.g. masks.png.", panel=VIDEO, plans=False
    )
    explain: Path | None = knob(
        None,
        "Folder for explain.mp4 and explain.json: whom the network binds to which voice, and whose mouth follows whom.",
        panel=VIDEO,
        metavar="FOLDER",
        plans=False,
    )
    preview: Path | None = knob(
        None,
        "Picture to write before the video is made: who is where and when they speak, e.g. who.png.",
        panel=VIDEO,
        plans=False,
    )
    dry_run: bool = knob(
        False,
        "Stop after showing who is where and says what; writes the preview, beside the output unless named.",
        panel=VIDEO,
        plans=False,
    )
    live: bool = knob(
        False,
        "Let the video be watched while it is being made; always so for .m3u8.",
        panel=VIDEO,
        plans=False,
    )
    close_ups: bool | None = knob(
        None,
        "Cut heads out, make them in one frame of the model and lay them into the picture at its own size.",
        panel=VIDEO,
        shown_default="with mini, on large pictures with small heads",
    )
    height: int | None = knob(None, "Of a video with close-ups, pixels.", panel=VIDEO, shown_default="the picture's")
    work: Path | None = knob(
        None, "Folder to keep every finished clip in, so that the run can be resumed.", panel=VIDEO, plans=False
    )
    resume: bool = knob(
        False, "Go on with what the work folder holds; begin if it holds nothing.", panel=VIDEO, plans=False
    )
    redo: bool = knob(
        False,
        "As resume; where something has changed since, make again the clips that it touches.",
        panel=VIDEO,
        plans=False,
    )
    force: bool = knob(False, "Overwrite existing files.", panel=VIDEO, plans=False)

    seed: int = knob(0, "Same seed, same video.", panel=SAMPLING, least=0, most=MAX_SEED, plans=False)
    preset: str | None = knob(
        None,
        "quality, balanced or fast: steps, shift and guidance that belong together. The released model needs a "
        "distilled LoRA for the last two.",
        panel=SAMPLING,
    )

    model: str = knob(
        "mini",
        "mini; a folder (ours, Wan2.1-I2V as released, or its Diffusers layout); or a hub id owner/name. To plan with "
        "also 14B, the released model before it is downloaded.",
        panel=MODEL,
    )
    audio_weights: Path | None = knob(
        None,
        "Folder or file of MeiGen-MultiTalk's multitalk.safetensors.",
        panel=MODEL,
        shown_default="in or beside the model's folder",
    )
    speech_weights: Path | None = knob(
        None,
        "Folder of chinese-wav2vec2-base.",
        panel=MODEL,
        shown_default="in or beside the model's folder",
    )
    device: str | None = knob(None, "cpu, cuda, cuda:1 or mps.", panel=MODEL, shown_default="the best there is")
    dtype: str | None = knob(None, "float32, bfloat16 or float16.", panel=MODEL, shown_default="the fastest")

    fit: bool = knob(
        False,
        "Choose the levers below that are not given so that the video fits the device; see polytalk plan.",
        panel="Memory and speed",
        plans=False,
    )
    vram: str | None = knob(
        None,
        "With fit: GPU memory to stay within, e.g. 8GiB. To plan with: GPU memory to plan for.",
        panel="Memory and speed",
    )

    if TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            """The fields above, and the knobs of `PipelineConfig` and `LoadOptions`, by name."""

    def __post_init__(self) -> None:
        for name in ("speakers", "boxes", "voices", "points", "masks", "assign"):
            object.__setattr__(self, name, tuple(getattr(self, name) or ()))
        object.__setattr__(self, "boxes", tuple(Box.parse(b) if isinstance(b, str) else b for b in self.boxes))
        object.__setattr__(self, "points", tuple(_point(point) for point in self.points))
        for name in ("output", "script", "recording", "save_masks", "explain", "preview", "work"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        check_knobs(self)
        self.assigned()
        self.sides()
        self.options()
        _check_pairs(self)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Every field's name."""
        return tuple(entry.name for entry in knobs_of(cls))

    def choices(self) -> dict[str, Any]:
        """The run's choices: what was given of the knobs of `PipelineConfig`, and the preset."""
        return {"preset": self.preset, **self._given(PipelineConfig)}

    def options(self) -> LoadOptions:
        """The levers: what was given of the knobs of `LoadOptions`, the others plain.

        Raises:
            PolytalkError: one is unknown, or two exclude each other.
        """
        return LoadOptions(**self._given(LoadOptions))

    def fixed(self) -> frozenset[str]:
        """Names of the levers that were given, and "clip_frames" if it was: a plan leaves them as they are."""
        return frozenset(self._given(LoadOptions)) | ({"clip_frames"} if self._value("clip_frames") else set())

    def sides(self) -> tuple[int, ...] | None:
        """(width, height) or (shorter side,) by `size`; None where the model's size class decides.

        Raises:
            PolytalkError: it is no size, or a side is no multiple of 16.
        """
        if self.size is None:
            return None
        found = re.fullmatch(r"\s*(\d+)\s*(?:[x×X]\s*(\d+)\s*)?", str(self.size))
        if found is None:
            remedy = "Give WIDTHxHEIGHT, e.g. 896x448, or the shorter side."
            raise PolytalkError("size", f"{self.size!r} is no size", remedy)
        sides = tuple(int(side) for side in found.groups() if side is not None)
        if any(side < PIXEL_STEP or side % PIXEL_STEP for side in sides):
            near = "x".join(str(max(PIXEL_STEP, round(side / PIXEL_STEP) * PIXEL_STEP)) for side in sides)
            problem = f"{self.size} has a side that is no multiple of {PIXEL_STEP}"
            raise PolytalkError("size", problem, f"Give e.g. {near}.")
        return sides

    def assigned(self) -> dict[str | int, int]:
        """Voice's name, or place from 0, to a person's number from 1.

        Raises:
            PolytalkError: an assignment that is not understood.
        """
        found: dict[str | int, int] = {}
        for text in self.assign:
            voice, _, number = text.rpartition("=")
            voice, number = voice.strip(), number.strip()
            if not voice or not number.isdecimal():
                remedy = "Write a voice and a person's number, like Anna=2 or 1=2."
                raise PolytalkError("assign", f"it is {text!r}", remedy)
            found[int(voice) - 1 if voice.isdecimal() else voice] = int(number)
        return found

    def voice_names(self) -> dict[str, str]:
        """Speakers' names to names of voices.

        Raises:
            PolytalkError: one that is not understood.
        """
        pairs = [text.partition("=") for text in self.voices]
        for name, _, voice in pairs:
            if not name or not voice:
                raise PolytalkError("voices", f"it is {name!r}", "Write it like Anna=heart.")
        return {name: voice for name, _, voice in pairs}

    def _value(self, name: str) -> Any:
        return getattr(self, name)

    def _given(self, settings: type) -> dict[str, Any]:
        values = {entry.name: self._value(entry.name) for entry in knobs_of(settings)}
        return {name: value for name, value in values.items() if value is not None}


def _point(point: Any) -> tuple[float, float]:
    try:
        x, y = point.split(",") if isinstance(point, str) else point
        return float(x), float(y)
    except (TypeError, ValueError):
        raise PolytalkError("points", f"it is {point!r}", "Write pixels like 320,140.") from None


def _check_pairs(request: GenerateRequest) -> None:
    """Refuse fields that contradict each other."""
    if request.vram is not None and not request.fit and request.output is not None:
        raise PolytalkError("vram", "it says how much `fit` may use", "Give `fit`, too.")
    if request.work is None and (request.resume or request.redo):
        problem = "it goes on with the clips of a work folder, and there is none"
        raise PolytalkError("resume" if request.resume else "redo", problem, "Name it by `work`.")
    if request.size is not None and request.size_class is not None:
        raise PolytalkError("size_class", "`size` says more", "Leave out one of the two.")
    if request.close_ups is False and request.height is not None:
        problem = "it is the height to which close-ups are laid into the picture"
        raise PolytalkError("height", problem, "Leave out one of `height` and `close_ups=False`; or give `size`.")
    if request.scene is not None and not isinstance(request.scene, str | Path):
        material = {"image": request.image, "video": request.video, "speakers": request.speakers}
        for name, value in {**material, "script": request.script, "recording": request.recording}.items():
            if value:
                raise PolytalkError(name, "the scene says this already", "Leave it out, or leave out `scene`.")
