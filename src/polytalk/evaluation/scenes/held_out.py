"""Scenes to measure with: seeds that no training run uses, and utterances that the training voices leave out.

The voices come with the package: a few minutes of Opus with phoneme times, packed from the held-out sixteenth of a bank
(`SpeechBank(folder, held_out=True)`) by `python -m polytalk.evaluation.scenes.held_out runs/voices`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from polytalk.assets import asset
from polytalk.errors import PolytalkError
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import SyntheticClip, draw_clip
from polytalk.synthetic.seeds import HELD_OUT_SEED
from polytalk.synthetic.speech.bank import SpeechBank
from polytalk.synthetic.speech.conversation import SyntheticConversation, draw_conversation
from polytalk.units import SAMPLE_RATE

VOICES = "evaluation_voices"
"""Name of the packed voices among the assets: one .ogg and one .json."""


def held_out_clips(scenes: int, **choices: Any) -> list[SyntheticClip]:
    """The drawn clips of `held_out_scenes`, which has the arguments."""
    return [clip for clip, _ in held_out_scenes(scenes, **choices)]


def held_out_scenes(
    scenes: int,
    *,
    people: int = 2,
    seed: int = 0,
    overlap_share: float = 0.5,
    num_frames: int = 33,
    config: SceneConfig | None = None,
    voices: SpeechBank | None = None,
    caught: bool = False,
    first_seed: int = HELD_OUT_SEED,
) -> list[tuple[SyntheticClip, SyntheticConversation]]:
    """Scenes with voices, and what is said in them, of the seeds first_seed + 100,000 seed + 0, 1, 2, ...

    The picture that goes with a clip was taken one frame before it, when all mouths were shut: a first frame with an
    open mouth would give away who is about to speak, and would be wrong once the voices are exchanged.

    Args:
        scenes: how many, 1 to 100,000.
        people: in each, 1 to 4.
        seed: which set.
        overlap_share: share of scenes in which people also speak at the same time, spread evenly.
        num_frames: of each, 4n+1.
        config: kind of scenes; the default kind if None.
        voices: the packaged ones by default.
        caught: the pictures have caught mouths as they were, open ones too, whoever speaks then.
        first_seed: of the first set, see `polytalk.synthetic.seeds`.

    Raises:
        PolytalkError: a number is out of range.
    """
    for name, value, most in (("scenes", scenes, 100_000), ("people", people, 4)):
        if not 1 <= value <= most:
            raise PolytalkError(name, f"it is {value}", f"Give 1 to {most:,}.")
    if not 0 <= overlap_share <= 1:
        raise PolytalkError("overlap", f"it is {overlap_share}", "Give a share from 0 to 1.")
    if not 0 <= seed < 10_000:
        raise PolytalkError("seed", f"it is {seed}", "Give 0 to 9,999.")
    config = replace(config or SceneConfig(), num_frames=num_frames, people=(people, people))
    config = replace(config, reference_lead=1, reference_lead_probability=1.0, caught_probability=float(caught))
    bank = voices or evaluation_voices()
    found = []
    for number in range(scenes):
        scene_seed = first_seed + 100_000 * seed + number
        overlap = int((number + 1) * overlap_share) > int(number * overlap_share)
        talk = draw_conversation(bank, np.random.default_rng([scene_seed, 1]), people, num_frames, overlap)
        found.append((draw_clip(scene_seed, config, talk), talk))
    return found


@lru_cache(maxsize=1)
def evaluation_voices() -> SpeechBank:
    """The packaged voices. Decoded once per process into a bank in a temporary folder, gone again after reading."""
    assets = asset()
    index = json.loads(assets.joinpath(f"{VOICES}.json").read_text(encoding="utf-8"))
    sound = _decode(Path(str(assets.joinpath(f"{VOICES}.ogg"))))
    with tempfile.TemporaryDirectory(prefix="polytalk-") as folder:
        for source, part in index.items():
            first, count = part.pop("first"), part.pop("count")
            (Path(folder) / f"{source}.json").write_text(json.dumps(part), encoding="utf-8")
            (Path(folder) / f"{source}.pcm").write_bytes(sound[first : first + count].tobytes())
        return SpeechBank(folder, in_memory=True)


def _decode(path: Path) -> np.ndarray:
    """int16 (samples,) at 16 kHz."""
    resampler, parts = av.AudioResampler("s16", "mono", SAMPLE_RATE), []
    with av.open(path) as container:
        for frame in container.decode(audio=0):
            parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
        parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(parts).astype("<i2")


def pack_voices(bank: Path, target: Path, minutes: float, bit_rate: int = 24_000) -> None:
    """Writes target.ogg and target.json from the held-out utterances of a bank, equal parts of each source.

    Args:
        bank: folder of a `SpeechBank`.
        minutes: in all.
    """
    held_out = SpeechBank(bank, held_out=True)
    sources = sorted({name for name, _ in held_out._entries})
    index, sound, at = {}, [], 0
    for source in sources:
        whole = json.loads((bank / f"{source}.json").read_text(encoding="utf-8"))
        chosen, length, entries = [], 0, []
        for number, (name, entry) in enumerate(held_out._entries):
            if name == source and length < minutes / len(sources) * 60 * SAMPLE_RATE:
                samples = held_out[number].samples
                entries.append(entry | {"at": length})
                chosen.append(samples)
                length += len(samples)
        index[source] = whole | {"speech": entries, "first": at, "count": length}
        sound += chosen
        at += length
    _encode(np.concatenate(sound), target.with_suffix(".ogg"), bit_rate)
    target.with_suffix(".json").write_text(json.dumps(index, ensure_ascii=False) + "\n", encoding="utf-8")


def _encode(samples: np.ndarray, path: Path, bit_rate: int) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono", bit_rate=bit_rate)
        frame = av.AudioFrame.from_ndarray((samples[None] * 32767).round().astype("<i2"), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def main() -> None:
    """Packs voices."""
    parser = argparse.ArgumentParser(description="Packs the voices that scenes to measure with speak.")
    parser.add_argument("bank", type=Path, help="folder made by `python -m polytalk.synthetic.speech.bank`")
    default = asset(VOICES)
    parser.add_argument("-o", "--output", type=Path, default=default, help="where to, without an ending")
    parser.add_argument("--minutes", type=float, default=6.0)
    options = parser.parse_args()
    pack_voices(options.bank, options.output, options.minutes)


if __name__ == "__main__":
    main()
