"""Options that several commands share, in the groups that their help shows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SCENE, VIDEO, SAMPLING, MODEL, MEMORY = "Scene", "Video", "Sampling", "Model", "Memory and speed"
"""Panels of the help."""

Image = Annotated[Path | None, typer.Option(help="Picture of the people.", rich_help_panel=SCENE)]
Video = Annotated[
    Path | None,
    typer.Option(
        help="Video of the people, instead of a picture: their faces speak anew, the rest stays. Any frame rate; the "
        "result has 25 a second.",
        rich_help_panel=SCENE,
    ),
]
Speakers = Annotated[
    list[Path] | None,
    typer.Option(help="A person's voice, any sound or video file; once per person.", rich_help_panel=SCENE),
]
Boxes = Annotated[
    list[str] | None,
    typer.Option(
        help="x0,y0,x1,y1: where the speaker named before is, in pixels of the picture as shown.",
        rich_help_panel=SCENE,
    ),
]
Prompt = Annotated[str | None, typer.Option(help="What happens, in words.", rich_help_panel=SCENE)]
NegativePrompt = Annotated[str | None, typer.Option(help="What must not happen.", rich_help_panel=SCENE)]
SceneFile = Annotated[
    Path | None, typer.Option(help="Scene file instead of --image, --speaker and --box.", rich_help_panel=SCENE)
]
Script = Annotated[
    Path | None,
    typer.Option(
        help="Who says what and when: a script (.txt: lines like Anna: Hello.), .srt, .vtt, .rttm or .json.",
        rich_help_panel=SCENE,
    ),
]
Recording = Annotated[
    Path | None,
    typer.Option(
        help="One recording of everybody: the voices in it are found; with --script its times say who speaks when.",
        rich_help_panel=SCENE,
    ),
]
NumVoices = Annotated[
    int | None,
    typer.Option(help="How many people speak in --recording.", show_default="estimated", rich_help_panel=SCENE),
]
SeparateMusic = Annotated[
    bool,
    typer.Option(
        "--separate-music",
        help="Tell voices apart, and move mouths, without the music in --recording.",
        rich_help_panel=SCENE,
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point", help="x,y: the speaker named before is the person there; instead of --box.", rich_help_panel=SCENE
    ),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        "--mask",
        help="Picture of a speaker's very shape, white on black, one per speaker; or one with a colour for each, from "
        "left to right.",
        rich_help_panel=SCENE,
    ),
]
Assign = Annotated[
    list[str] | None,
    typer.Option(
        help="Anna=2 or 1=2: a voice, by name or number, is that of the second person from the left. Again for others.",
        rich_help_panel=SCENE,
    ),
]
Swap = Annotated[
    bool, typer.Option("--swap", help="Exchange the people of the first two voices.", rich_help_panel=SCENE)
]
NoFind = Annotated[
    bool,
    typer.Option(
        "--no-find",
        help="Do not look for people: without --box the picture is divided evenly from left to right.",
        rich_help_panel=SCENE,
    ),
]
Voices = Annotated[
    list[str] | None,
    typer.Option("--voice", help="Voice for somebody's texts: Anna=heart. Again for others.", rich_help_panel=SCENE),
]
Arrangement = Annotated[
    str | None,
    typer.Option(help="together: all voices start at once. turns: one after the other.", rich_help_panel=SCENE),
]

Output = Annotated[
    Path, typer.Option("-o", "--output", help="Video to write, .mp4; or .m3u8 for HLS.", rich_help_panel=VIDEO)
]
FrameSize = Annotated[
    str | None,
    typer.Option(
        help="WIDTHxHEIGHT in pixels, multiples of 16; or the shorter side alone, with the picture's aspect.",
        show_default="the model's, by the picture's aspect",
        rich_help_panel=VIDEO,
    ),
]
SizeClass = Annotated[
    str | None,
    typer.Option(
        help="480p or 720p; the released model knows both.", show_default="the model's", rich_help_panel=VIDEO
    ),
]
MaxSeconds = Annotated[
    float | None,
    typer.Option(help="Stop the video after so many seconds.", show_default="the sound's", rich_help_panel=VIDEO),
]
SaveMasks = Annotated[
    Path | None,
    typer.Option(help="Picture to write that shows who is where, e.g. masks.png.", rich_help_panel=VIDEO),
]
Explain = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder for explain.mp4 and explain.json: whom the network binds to which voice, and whose mouth follows "
        "whom.",
        rich_help_panel=VIDEO,
    ),
]
Preview = Annotated[
    Path | None,
    typer.Option(
        help="Picture to write before the video is made: who is where and when they speak, e.g. who.png.",
        rich_help_panel=VIDEO,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Stop after showing who is where and says what; writes the preview, beside the output unless named.",
        rich_help_panel=VIDEO,
    ),
]
Live = Annotated[
    bool,
    typer.Option(
        "--live", help="Let the video be watched while it is being made; always so for .m3u8.", rich_help_panel=VIDEO
    ),
]
CloseUps = Annotated[
    bool | None,
    typer.Option(
        "--close-ups/--no-close-ups",
        help="Cut heads out, make them in one frame of the model and lay them into the picture at its own size.",
        show_default="with mini, on large pictures with small heads",
        rich_help_panel=VIDEO,
    ),
]
Height = Annotated[
    int | None,
    typer.Option(help="Of a video with close-ups, pixels.", show_default="the picture's", rich_help_panel=VIDEO),
]
Work = Annotated[
    Path | None,
    typer.Option(help="Folder to keep every finished clip in, so that --resume can go on.", rich_help_panel=VIDEO),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with what --work holds; begin if it holds nothing.", rich_help_panel=VIDEO),
]
Redo = Annotated[
    bool,
    typer.Option(
        "--redo",
        help="As --resume; where something has changed since, make again the clips that it touches.",
        rich_help_panel=VIDEO,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing files.", rich_help_panel=VIDEO)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=VIDEO)]

Seed = Annotated[int, typer.Option(help="Same seed, same video.", rich_help_panel=SAMPLING)]
PresetName = Annotated[
    str | None,
    typer.Option(
        "--preset",
        help="quality, balanced or fast: steps, shift and guidance that belong together. The released model needs a "
        "distilled --lora for the last two.",
        rich_help_panel=SAMPLING,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        help="Sampling steps; more is slower and finer.", show_default="the model's", rich_help_panel=SAMPLING
    ),
]
GuidanceScale = Annotated[
    float | None,
    typer.Option(
        "--guidance", help="How closely the prompt is followed; 1 is off and fastest.", rich_help_panel=SAMPLING
    ),
]
AudioGuidanceScale = Annotated[
    float | None,
    typer.Option(
        "--audio-guidance", help="How closely the voices are followed; 1 is off and fastest.", rich_help_panel=SAMPLING
    ),
]
Adaptive = Annotated[
    bool,
    typer.Option(
        "--apg", help="Adaptive projected guidance: strong scales without burnt colours.", rich_help_panel=SAMPLING
    ),
]
Shift = Annotated[
    float | None,
    typer.Option(help="Timestep shift: 7 at 480p, 11 at 720p.", show_default="the model's", rich_help_panel=SAMPLING),
]
ClipFrames = Annotated[
    int | None,
    typer.Option(
        help="Longest clip in frames, 4n + 1; fewer take less memory.",
        show_default="the model's",
        rich_help_panel=SAMPLING,
    ),
]
MotionFrames = Annotated[
    int | None,
    typer.Option(
        help="Frames that neighbouring clips share, 4n + 1.", show_default="the model's", rich_help_panel=SAMPLING
    ),
]

Strength = Annotated[
    float | None,
    typer.Option(
        help="With --video: share of noise to start from, above 0 up to 1; less keeps more of the faces.",
        show_default="the model's",
        rich_help_panel=SAMPLING,
    ),
]
Colour = Annotated[
    float | None,
    typer.Option(
        help="How far the colours of each frame are matched to the picture's, 0 to 1.",
        show_default="the model's",
        rich_help_panel=SAMPLING,
    ),
]
HoldStill = Annotated[
    float | None,
    typer.Option(
        help="How far places that have not changed show the picture itself, 0 to 1.",
        show_default="the model's",
        rich_help_panel=SAMPLING,
    ),
]
IdleMotion = Annotated[
    float | None,
    typer.Option(
        help="How lively people are unasked, 0 (only blinks and gazes) to 1, for models that can be told (mini).",
        show_default="the model's",
        rich_help_panel=SAMPLING,
    ),
]
FixedMasks = Annotated[
    bool,
    typer.Option(
        "--fixed-masks",
        help="Keep the first picture's masks for every clip, as the release does, instead of following the people.",
        rich_help_panel=SAMPLING,
    ),
]

Ungated = Annotated[
    bool,
    typer.Option(
        "--ungated",
        help="Leave breath and noise on a track while its speaker is silent, as the release does.",
        rich_help_panel=SAMPLING,
    ),
]

CarryOver = Annotated[
    str | None,
    typer.Option(
        help="pixels or latent: how a clip takes over the last frames of the one before.",
        show_default="the model's",
        rich_help_panel=SAMPLING,
    ),
]

Model = Annotated[
    str,
    typer.Option(
        help="mini; a folder (ours, Wan2.1-I2V as released, or its Diffusers layout); or a hub id owner/name.",
        rich_help_panel=MODEL,
    ),
]
AudioWeights = Annotated[
    Path | None,
    typer.Option(
        help="Folder or file of MeiGen-MultiTalk's multitalk.safetensors.",
        show_default="in or beside the model's folder",
        rich_help_panel=MODEL,
    ),
]
SpeechWeights = Annotated[
    Path | None,
    typer.Option(
        help="Folder of chinese-wav2vec2-base.",
        show_default="in or beside the model's folder",
        rich_help_panel=MODEL,
    ),
]
Loras = Annotated[
    list[str] | None,
    typer.Option(
        "--lora", help="FILE or FILE:SCALE, an adapter to lay over the model; repeatable.", rich_help_panel=MODEL
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="cpu, cuda, cuda:1 or mps.", show_default="the best there is", rich_help_panel=MODEL),
]
Dtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16 or float16.", show_default="the fastest", rich_help_panel=MODEL),
]

Fit = Annotated[
    bool,
    typer.Option(
        "--fit",
        help="Choose the levers below that are not given so that the video fits the device; see polytalk plan.",
        rich_help_panel=MEMORY,
    ),
]
Vram = Annotated[
    str | None,
    typer.Option(help="With --fit: GPU memory to stay within, e.g. 8GiB.", rich_help_panel=MEMORY),
]
Quantization = Annotated[
    str | None,
    typer.Option(help="int8, int8-dynamic, fp8 or int4: the blocks' weights in fewer bits.", rich_help_panel=MEMORY),
]
Offload = Annotated[
    str | None,
    typer.Option(
        help="model: encoders wait in host memory. group: the blocks, too. stream: blocks are read from disk.",
        show_default="none",
        rich_help_panel=MEMORY,
    ),
]
BranchChunking = Annotated[
    bool | None,
    typer.Option(
        "--branch-chunking/--no-branch-chunking",
        help="Run guidance's predictions one after the other inside each block.",
        show_default="with group and stream",
        rich_help_panel=MEMORY,
    ),
]
LayerwiseCasting = Annotated[
    bool | None,
    typer.Option(
        "--layerwise-casting", help="Hold the blocks' weights in 8 bits, cast while they work.", rich_help_panel=MEMORY
    ),
]
VaeTiling = Annotated[
    bool | None,
    typer.Option("--vae-tiling", help="Encode and decode video in tiles.", rich_help_panel=MEMORY),
]
VaeDtype = Annotated[
    str | None,
    typer.Option(help="Number format of the video autoencoder.", show_default="the model's", rich_help_panel=MEMORY),
]
Compile = Annotated[
    bool | None,
    typer.Option("--compile", help="Compile the blocks: a slow start, then faster steps.", rich_help_panel=MEMORY),
]
AttentionBackend = Annotated[
    str | None,
    typer.Option(
        "--attention",
        help="Attention kernel by diffusers' name, e.g. _native_cudnn, flash, _flash_3 or sage.",
        show_default="PyTorch's",
        rich_help_panel=MEMORY,
    ),
]
StepCache = Annotated[
    str | None,
    typer.Option(
        help="teacache, magcache or firstblock, each also with :THRESHOLD; leave out steps that change little.",
        rich_help_panel=MEMORY,
    ),
]
Parallel = Annotated[
    str | None,
    typer.Option(
        help="Under torchrun: what the processes share, e.g. ulysses=4,guidance=2,fsdp; numbers multiply to theirs.",
        show_default="ulysses",
        rich_help_panel=MEMORY,
    ),
]

PlannedModel = Annotated[
    str,
    typer.Option(help="As for generate; 14B is the released model before it is downloaded.", rich_help_panel=MODEL),
]
Gpu = Annotated[
    str | None,
    typer.Option(
        help="Card to plan for, e.g. 4090, A100 or L4.", show_default="this machine's", rich_help_panel=MEMORY
    ),
]
PlannedVram = Annotated[
    str | None,
    typer.Option(help="GPU memory to plan for, e.g. 8GiB.", show_default="the card's", rich_help_panel=MEMORY),
]
Ram = Annotated[
    str | None,
    typer.Option(help="Host memory to plan for, e.g. 64GiB.", show_default="this machine's", rich_help_panel=MEMORY),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
