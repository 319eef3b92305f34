"""The command line as tests call it, and the files that they give it."""

import wave

import numpy as np
from PIL import Image
from tiny_model import picture, voice
from typer.testing import CliRunner

from polytalk.cli.app import app


def write_good_files():
    Image.fromarray(picture()).save("two.png")
    for name, seed in (("left.wav", 0), ("right.wav", 1)):
        write_wav(name, voice(0.3, seed))


def write_wav(name, samples, rate=16_000):
    with wave.open(name, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())


def polytalk(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


TWO = ("--image", "two.png", "--prompt", "they talk", "--speaker", "left.wav", "--speaker", "right.wav")


def generate(model, *arguments, output="talk.mp4"):
    return polytalk("generate", "--model", model, "--device", "cpu", "--dtype", "float32", "-o", output, *arguments)
