"""From a picture and one recording to the right mouths: `polytalk evaluate casting`.

For every held-out scene the generator gets a picture and the mix of all voices, and no box. People are found, voices
are found, and each voice goes to a person. What is counted: of all people whose voice opens the mouth for long enough,
the share whose mouth, read from the generated frames, follows its own true voice more than any other. The same scenes
are rendered from true boxes and true tracks; the difference is what casting loses.

Nothing in a picture and a recording tells who speaks with which voice; the rule is the order of first speech from left
to right. Scenes are drawn so that the rule is right: people are seated in the order in which they first speak. Whatever
goes wrong on the way (a person or a voice missed, voices mixed up) counts against casting.
"""

from __future__ import annotations

import json as json_module
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from polytalk.casting.active_speaker import mouth_motion, speaker_scores, voice_loudness
from polytalk.casting.cast import CastProposal
from polytalk.casting.match import decide_by_mouths
from polytalk.casting.recording import cast_recording
from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.metrics import SyncMatrix
from polytalk.evaluation.readers.mouth_reader import MouthReader
from polytalk.evaluation.reports.output import plain
from polytalk.evaluation.scenes.generating import GIVEN_FRAMES, pixel_boxes, scene_noise, scene_of
from polytalk.evaluation.scenes.held_out import evaluation_voices, held_out_clips
from polytalk.media.audio import limit_peak
from polytalk.media.source_video import ArrayFrames
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.scene import Box, Scene
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clip
from polytalk.synthetic.seeds import CASTING_TEST_SEED
from polytalk.synthetic.speech.conversation import SyntheticConversation, draw_conversation
from polytalk.units import FPS, SAMPLE_RATE

_LEAST_SPEECH = 20
"""Frames (0.8 s) that everybody speaks at least: a voice of one syllable is none."""
_FACE_TOP = 0.35
"""Of a drawn head's height: where the brows are."""


@dataclass(frozen=True)
class CastingReport:
    """What `run_casting` found; shares are 0..1, NaN where nothing could be measured."""

    found: float
    """People whose mouth follows their own voice, from picture and recording alone."""
    true: float
    """The same from true boxes and tracks."""
    own_found: float
    """Mean correlation of a mouth with its own voice, from picture and recording alone."""
    own_true: float
    """The same from true boxes and tracks."""
    people_right: float
    """Scenes in which exactly the people who are there were found."""
    voices_right: float
    """Scenes in which as many voices were found as speak."""
    matched: float
    """Scenes in which every person got the own voice."""
    rows: int
    """People counted."""
    scenes: int
    """Scenes."""
    people: int
    """In each."""
    frames: int
    """Of each, at 25 a second."""
    known: bool
    """Whether the number of voices was told."""

    @property
    def lost(self) -> float:
        """Points (hundredths) that casting loses."""
        return 100 * (self.true - self.found)

    def to_json(self) -> str:
        """One object; NaN becomes null."""
        return json_module.dumps(plain({**asdict(self), "lost": self.lost}))

    def print(self, console: Console | None = None) -> None:
        """A table."""
        how = "told" if self.known else "estimated"
        table = Table(title=f"{self.scenes} scenes of {self.people} people, {self.frames} frames, number {how}")
        for column in ("", "picture + recording", "true boxes + tracks"):
            table.add_column(column, justify="left" if not column else "right")
        table.add_row("mouths that follow the own voice", f"{self.found:.1%}", f"{self.true:.1%}")
        table.add_row("correlation with the own voice", f"{self.own_found:.3f}", f"{self.own_true:.3f}")
        table.add_row("scenes with the right people found", f"{self.people_right:.1%}", "")
        table.add_row("scenes with the right number of voices", f"{self.voices_right:.1%}", "")
        table.add_row("scenes in which everybody got the own voice", f"{self.matched:.1%}", "")
        table.add_row("people counted", str(self.rows), "")
        console = console or Console()
        console.print(table)
        console.print(f"lost by casting: {self.lost:.1f} points (target: at most 5)")


def casting_clips(scenes: int, *, people: int = 2, seed: int = 0, num_frames: int = 101) -> Iterator[SyntheticClip]:
    """Held-out scenes in which everybody speaks, one after the other, seated in the order of first speech.

    Args:
        scenes: how many.
        people: in each, 1 to 4.
        seed: which set.
        num_frames: of each, 4n+1; too short for everybody to speak, it never ends: 25 a person are needed.

    Raises:
        PolytalkError: a number is out of range.
    """
    if num_frames < FPS * people:
        raise PolytalkError("frames", f"{num_frames} for {people} people", f"Give {FPS * people + 1} or more.")
    base = SceneConfig(num_frames=num_frames, people=(people, people), event_probability=0.0)
    config = replace(base, reference_lead=1, reference_lead_probability=1.0)
    made, number = 0, CASTING_TEST_SEED + 100_000 * seed
    while made < scenes:
        number += 1
        talk = draw_conversation(
            evaluation_voices(), np.random.default_rng([number, 1]), people, num_frames, overlap=False
        )
        if talk.speaking.sum(axis=1).min() < _LEAST_SPEECH:
            continue
        clip = _seated(number, config, talk)
        if clip is not None:
            made += 1
            yield clip


def _seated(seed: int, config: SceneConfig, talk: SyntheticConversation) -> SyntheticClip | None:
    """The scene with the voices handed out from left to right in the order of first speech; None where it moves."""
    seats = _from_left(draw_clip(seed, config, talk))
    order = np.argsort(talk.speaking.argmax(axis=1), kind="stable")
    voice_of = np.empty(len(order), int)
    voice_of[seats] = order
    handed = replace(
        talk,
        **{name: getattr(talk, name)[voice_of] for name in ("audio", "mouth", "speaking", "lead", "trail")},
        phonemes=tuple(talk.phonemes[v] for v in voice_of),
        voices=tuple(talk.voices[v] for v in voice_of),
    )
    clip = draw_clip(seed, config, handed)
    return clip if (_from_left(clip) == seats).all() else None


def _from_left(clip: SyntheticClip) -> np.ndarray:
    """People from left to right in the first frame."""
    return np.argsort(clip.face_boxes[0, :, [0, 2]].mean(axis=0))


def run_casting(
    *,
    scenes: int = 50,
    people: int = 2,
    seed: int = 0,
    frames: int = 101,
    steps: int | None = None,
    model: str = "mini",
    known: bool = False,
    json: bool = False,
) -> CastingReport:
    """`polytalk evaluate casting`: renders every scene twice and prints a table or one JSON object.

    Args:
        scenes: how many.
        people: in each.
        seed: of scenes and noise.
        frames: of each, 4n+1.
        steps: of sampling; None: the model's.
        model: what `MultiTalkPipeline.from_pretrained` takes.
        known: tell casting how many voices there are.
        json: print one object; progress goes to standard error either way.
    """
    pipeline = MultiTalkPipeline.from_pretrained(model)
    choices = {} if steps is None else {"num_inference_steps": steps}
    began = time.monotonic()
    clips: list[SyntheticClip] = []
    proposals: list[CastProposal] = []
    videos: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for done, clip in enumerate(casting_clips(scenes, people=people, seed=seed, num_frames=frames), start=1):
        mixed = limit_peak(clip.audio.sum(axis=0))
        proposal = cast_recording(
            clip.reference,
            mixed,
            sample_rate=SAMPLE_RATE,
            num_voices=people if known else None,
            prompt=clip.prompt,
        )
        for scene, made in ((proposal.scene, videos[0]), (scene_of(clip, clip.audio), videos[1])):
            made.append(_render(pipeline, scene, clip, seed, choices))
        clips.append(clip)
        proposals.append(proposal)
        spent = time.monotonic() - began
        print(f"{done}/{scenes} scenes, {spent:.0f} s, {spent / done * (scenes - done):.0f} s left", file=sys.stderr)
    report = _report(clips, proposals, videos, known)
    if json:
        print(report.to_json())
    else:
        report.print()
    return report


def _render(pipeline: MultiTalkPipeline, scene: Scene, clip: SyntheticClip, seed: int, choices: dict) -> np.ndarray:
    """Frames uint8 (T, H, W, 3); a scene has the same noise either way."""
    prepared = pipeline.prepare(scene, clip.reference.shape[:2])
    return pipeline(prepared, generator=scene_noise(clip, seed), **choices).frames[: len(clip.frames)]


def _report(
    clips: Sequence[SyntheticClip],
    proposals: Sequence[CastProposal],
    videos: tuple[list[np.ndarray], list[np.ndarray]],
    known: bool,
) -> CastingReport:
    reader = MouthReader.from_pretrained()
    people = clips[0].mouth.shape[1]
    found, true = (_sync(clips, made, reader) for made in videos)
    checked = [_checked(clip, proposal) for clip, proposal in zip(clips, proposals, strict=True)]
    people_right, voices_right, matched = (float(np.mean([row[i] for row in checked])) for i in range(3))
    return CastingReport(
        found=found["diagonal"],
        true=true["diagonal"],
        own_found=found["own"],
        own_true=true["own"],
        people_right=people_right,
        voices_right=voices_right,
        matched=matched,
        rows=int(true["rows"]),
        scenes=len(clips),
        people=people,
        frames=len(clips[0].frames),
        known=known,
    )


def _sync(clips: Sequence[SyntheticClip], videos: Sequence[np.ndarray], reader: MouthReader) -> dict[str, float]:
    """Whose mouth follows whose true voice, read where the true mouths are."""
    sync = SyncMatrix(clips[0].mouth.shape[1])
    tracks = reader.follow(videos, [clip.mouth_boxes[0] for clip in clips])
    for clip, track in zip(clips, tracks, strict=True):
        seen = slice(GIVEN_FRAMES, min(len(track.opening), len(clip.mouth)))
        sync.update(track.opening[seen], clip.mouth[seen, :, 0], clip.speaking[seen])
    return sync.compute()


def _checked(clip: SyntheticClip, proposal: CastProposal) -> tuple[bool, bool, bool]:
    """Whether the people, the number of voices, and who is who are right."""
    everybody = range(clip.mouth.shape[1])
    heads = [(person.head.left + person.head.right) / 2 for person in proposal.people]
    tops = [(person.head.top + person.head.bottom) / 2 for person in proposal.people]
    boxes = clip.face_boxes[0]
    inside = [
        [place for place, (x, y) in enumerate(zip(heads, tops, strict=True)) if l <= x < r and t <= y < b]
        for l, t, r, b in boxes  # noqa: E741
    ]
    people_right = proposal.places == "found" and len(heads) == len(boxes) and all(len(one) == 1 for one in inside)
    scene = proposal.scene
    heard = sorted({scene.index_of(said) for said in scene.utterances})
    matched = people_right and len(heard) == len(boxes)
    for person in everybody if matched else ():
        voice = next((pair.voice for pair in proposal.match.pairs if pair.person == inside[person][0]), None)
        matched = matched and voice is not None and _true_voice(clip, scene, voice) == person
    return people_right, len(heard) == len(boxes), matched


def _true_voice(clip: SyntheticClip, scene: Scene, voice: int) -> int:
    """Whose true voice a found one shares most frames with."""
    active = np.zeros(len(clip.speaking), bool)
    for said in scene.utterances:
        if scene.index_of(said) == voice:
            active[round((said.start or 0) * FPS) : round((said.end or 0) * FPS)] = True
    return int((clip.speaking & active[:, None]).sum(axis=0).argmax())


def run_active_speaker(*, scenes: int = 50, seed: int = 0, frames: int = 101, json: bool = False) -> dict[str, float]:
    """`polytalk evaluate active-speaker`: in drawn videos, does each voice go to the mouth that speaks it?

    Faces are the true ones of the first frame; half of the scenes have overlapping speech. Prints and gives the shares
    of scenes that were decided rightly and wrongly, and of those left undecided, in which the order of speech decides.
    """
    right = wrong = 0
    for clip in held_out_clips(scenes, people=2, seed=seed, num_frames=frames):
        motion = mouth_motion(ArrayFrames(clip.frames), _faces(clip))
        decided = decide_by_mouths(speaker_scores(motion, voice_loudness(clip.audio, SAMPLE_RATE)))
        if decided is not None:
            correct = all(person == voice for person, voice in decided)
            right, wrong = right + correct, wrong + (not correct)
    shares = {"right": right / scenes, "wrong": wrong / scenes, "undecided": 1 - (right + wrong) / scenes}
    if json:
        print(json_module.dumps(plain({"scenes": scenes, "frames": frames, **shares})))
    else:
        table = Table(title=f"whose mouth moves, {scenes} drawn videos of two people, {frames} frames")
        for name in shares:
            table.add_column(name, justify="right")
        table.add_row(*(f"{share:.1%}" for share in shares.values()))
        Console().print(table)
    return shares


def _faces(clip: SyntheticClip) -> list[Box]:
    """Brows to chin of the drawn heads in the first frame."""
    boxes = clip.face_boxes[0].copy()
    boxes[:, 1] += _FACE_TOP * (boxes[:, 3] - boxes[:, 1])
    return pixel_boxes(boxes, clip.reference)
