"""Pictures and voices that mini never saw the like of: `python benchmarks/unseen.py --samples FOLDER -o docs/unseen`.

Every case goes through `polytalk generate` and `polytalk evaluate video` as a user's would; a sheet of each shows five
frames, and below them everybody's face at the moment when the mouth is furthest open and when it is shut. Pictures are
the released samples (a folder with multi1.png, ...), a photograph that comes with matplotlib, painted portraits of the
game Battle for Wesnoth (Debian: apt-get install wesnoth-1.16-data), and cartoons of a style left out of the network's
training. Voices are the samples' and synthetic ones, in English and Hungarian (espeak-ng); in one case chords are
played under both.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import soundfile
from PIL import Image

from polytalk.casting.found import FoundPerson
from polytalk.casting.people.find import people_of
from polytalk.conditioning.speech import speech_tracks
from polytalk.evaluation.reports.any_video import VideoReport, evaluate_video, read_mouths
from polytalk.evaluation.reports.music import draw_music
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.media.audio import load_audio, resample
from polytalk.media.video import read_video
from polytalk.scene import Scene, Speaker
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.tts.synthesizer import synthesize
from polytalk.units import SAMPLE_RATE

SHEET_WIDTH, SHOWN = 1500, 5
"""Pixels, and frames in a row."""
PAINTED = Path("/usr/share/games/wesnoth/1.16/data/core/images/portraits")
BEHIND_PAINTED = (120, 110, 100)
"""What is put behind painted people, who have nothing behind them."""
MUSIC_LEVEL = -10.0
"""dB below the voices."""
ENGLISH = ("Good morning, how are you today?", "I am very well, thank you for asking.")
HUNGARIAN = ("Jó reggelt kívánok, hogy van ma reggel?", "Köszönöm szépen, nagyon jól vagyok.")


@dataclass(frozen=True)
class Case:
    """One video."""

    name: str
    picture: Image.Image
    voices: list[Path]
    arrangement: str = "together"
    prompt: str = "Two people are talking."


class Sounds:
    """Voices as files in a folder."""

    def __init__(self, folder: Path, samples: Path) -> None:
        self.folder, self.samples = folder, samples

    def sample(self, name: str) -> Path:
        """A released voice."""
        return self.samples / f"{name}.wav"

    def spoken(self, text: str, voice: str) -> Path:
        """A synthetic one, in English."""
        path = self.folder / f"{voice}.wav"
        speech = synthesize(text, voice)
        soundfile.write(path, speech.samples, speech.sample_rate)
        return path

    def hungarian(self, text: str, voice: str) -> Path:
        """Another language, which no training voice speaks: by espeak-ng (Debian: apt-get install espeak-ng)."""
        path = self.folder / f"{voice}.wav"
        subprocess.run(["espeak-ng", "-v", f"hu+{voice}", "-s", "150", "-w", str(path), text], check=True)
        return path

    def with_music(self, voice: Path) -> Path:
        """A voice with chords played under it."""
        sound = load_audio(voice)
        samples = resample(sound.samples, sound.sample_rate, SAMPLE_RATE)
        music = draw_music(len(samples), np.random.default_rng(1))
        loud = float(np.sqrt(np.mean(samples**2))) * 10 ** (MUSIC_LEVEL / 20)
        path = self.folder / f"{voice.stem}_music.wav"
        mixed = samples + loud * music
        soundfile.write(path, mixed / max(1.0, float(np.abs(mixed).max())), SAMPLE_RATE)
        return path


def side_by_side(first: np.ndarray, second: np.ndarray, height: int = 512) -> Image.Image:
    """Two portraits in one picture, each cut to a square from its top."""
    tiles = []
    for pixels in (first, second):
        side = min(pixels.shape[:2])
        left = (pixels.shape[1] - side) // 2
        tiles.append(Image.fromarray(pixels[:side, left : left + side]).resize((height, height)))
    return Image.fromarray(np.concatenate([np.asarray(tile) for tile in tiles], axis=1))


def painted(name: str) -> np.ndarray:
    """A painted portrait, twice as large as it is kept."""
    with Image.open(PAINTED / name) as opened:
        person = opened.convert("RGBA")
    behind = Image.new("RGBA", person.size, (*BEHIND_PAINTED, 255))
    behind.alpha_composite(person)
    return np.asarray(behind.convert("RGB").resize((2 * person.width, 2 * person.height), Image.Resampling.LANCZOS))


def drawn(source: str, seed: int) -> Image.Image:
    """The picture of a held-out scene with two people of one source."""
    config = SceneConfig(height=352, width=640, sources=((source, 1.0),), event_probability=0.0)
    return Image.fromarray(held_out_clips(1, people=2, seed=seed, num_frames=5, config=config)[0].reference)


def cases(sounds: Sounds) -> list[tuple[str, Callable[[], Case]]]:
    """Name and maker of every case."""
    samples, both = sounds.samples, ("multi1_left", "multi1_right")

    def photograph(name: str, voices: list[Path], arrangement: str) -> Case:
        return Case(name, Image.open(samples / f"{name.split('_')[0]}.png").convert("RGB"), voices, arrangement)

    def spoken() -> list[Path]:
        return [sounds.spoken(text, voice) for text, voice in zip(ENGLISH, ("alto", "heart"), strict=True)]

    def portraits() -> Case:
        hopper = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
        pair = side_by_side(np.asarray(Image.open(hopper).convert("RGB")), painted("humans/mage-white+female.png"))
        return Case("portraits", pair, spoken(), "turns")

    def paintings() -> Case:
        pair = side_by_side(painted("elves/lady.png"), painted("humans/ruffian.png"))
        return Case("paintings", pair, spoken()[::-1], "turns")

    def cartoons() -> Case:
        voices = [sounds.hungarian(text, voice) for text, voice in zip(HUNGARIAN, ("m3", "f2"), strict=True)]
        return Case("cartoons", drawn("avatar", 8), voices, "turns")

    return [
        ("multi1", lambda: photograph("multi1", [sounds.sample(name) for name in both], "turns")),
        ("multi1_music", lambda: photograph(
            "multi1_music", [sounds.with_music(sounds.sample(name)) for name in both], "turns"
        )),
        ("multi2", lambda: photograph("multi2", [sounds.sample("multi2")] * 2, "together")),
        ("portraits", portraits),
        ("paintings", paintings),
        ("cartoons", cartoons),
    ]  # fmt: skip


def make(case: Case, folder: Path, model: str, seconds: float) -> tuple[np.ndarray, float]:
    """The video of a case, by the command line: frames, and frames a second."""
    picture, video = folder / f"{case.name}.png", folder / f"{case.name}.mp4"
    case.picture.save(picture)
    speakers = [part for voice in case.voices for part in ("--speaker", str(voice))]
    options = ["--arrangement", case.arrangement, "--prompt", case.prompt, "--max-seconds", str(seconds)]
    command = ["generate", "--image", str(picture), *speakers, *options, "--model", model, "-o", str(video), "--quiet"]
    subprocess.run([sys.executable, "-m", "polytalk", *command], check=True)
    return read_video(video)


def sheet(frames: np.ndarray, people: Sequence[FoundPerson]) -> Image.Image:
    """Five frames, and below them everybody's face, wide open and shut."""
    opening, centre = read_mouths(frames, people)
    size = (SHEET_WIDTH // SHOWN, round(SHEET_WIDTH // SHOWN * frames.shape[1] / frames.shape[2]))
    rows = np.linspace(0, len(frames) - 1, SHOWN).round().astype(int)
    whole = [np.asarray(Image.fromarray(frames[t]).resize(size)) for t in rows]
    cell, faces = SHEET_WIDTH // (3 * len(people)), []
    for number, person in enumerate(people):
        half = 0.6 * max(person.head.width, person.head.height)
        ranked = np.argsort(opening[:, number])
        for t in (ranked[0], ranked[-len(ranked) // 8], ranked[-1]):
            moved = centre[t, number] - centre[0, number]
            x = (person.head.left + person.head.right) / 2 + moved[0]
            y = (person.head.top + person.head.bottom) / 2 + moved[1]
            cut = Image.fromarray(frames[t]).crop(tuple(map(int, (x - half, y - half, x + half, y + half))))
            faces.append(np.asarray(cut.resize((cell, cell))))
    below = np.concatenate(faces, axis=1)
    below = np.pad(below, ((0, 0), (0, max(0, size[0] * SHOWN - below.shape[1])), (0, 0)))[:, : size[0] * SHOWN]
    return Image.fromarray(np.concatenate([np.concatenate(whole, axis=1), below]))


def measure(case: Case, frames: np.ndarray, fps: float) -> tuple[VideoReport, list[FoundPerson]]:
    """What `polytalk evaluate video` says of it."""
    people = people_of(Scene(frames[0], speakers=tuple(Speaker(voice) for voice in case.voices)))
    voices = speech_tracks([load_audio(voice) for voice in case.voices], case.arrangement)
    return evaluate_video(frames, fps, voices, people, case.name), people


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=Path, required=True, help="folder of the released examples")
    parser.add_argument("-o", "--output", type=Path, default=Path("unseen"), help="folder of sheets and figures")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seconds", type=float, default=6.0, help="longest video")
    parser.add_argument("--only", default="", help="names of cases, with commas between them")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for case_name, maker in cases(Sounds(folder, options.samples)):
            if options.only and case_name not in options.only.split(","):
                continue
            case = maker()
            frames, fps = make(case, folder, options.model, options.seconds)
            report, people = measure(case, frames, fps)
            report.print()
            found[case_name] = json.loads(report.to_json())
            sheet(frames, people).save(options.output / f"{case_name}.jpg", quality=85)
    (options.output / "figures.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
