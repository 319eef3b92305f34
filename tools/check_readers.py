"""How well the readers of faces read people they were not trained on: `python tools/check_readers.py`.

Prints the correlation of every reading with the truth, and the share of faces that are taken for somebody else, over
drawn people of every source in random poses, as drawn and softened (blurred and noised).
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from polytalk.evaluation.measures.identity import IdentityConfusion
from polytalk.evaluation.readers.face_reader import FaceReader
from polytalk.evaluation.readers.identity_reader import IdentityReader
from polytalk.evaluation.scenes.renderings import ALL_SOURCES
from polytalk.evaluation.scenes.synthetic_faces import READ, SyntheticFaces, draw_faces, random_poses
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.synthetic.seeds import READERS_TEST_SEED
from polytalk.training.readers.mouth import recolour, soften


def unknown_people(count: int, poses: int = 6) -> list[tuple[str, SyntheticFaces, SyntheticFaces]]:
    """Source, some poses and one more before another background, of people whom no reader was trained on."""
    found = []
    for number in range(count):
        rng = np.random.default_rng(READERS_TEST_SEED + number)
        name = ALL_SOURCES[number % len(ALL_SOURCES)][0]
        who = SOURCES[name](rng)
        first = draw_faces(who, random_poses(rng, poses), rng)
        found.append((name, first, draw_faces(who, random_poses(rng, 1), rng)))
    return found


def softened(frames: np.ndarray, seed: int) -> np.ndarray:
    """Frames (N, H, W, 3), most of them blurred, recoloured and noised as the readers' training squares are."""
    generator = torch.Generator().manual_seed(seed)
    size = frames.shape[1:3]
    square = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    square = torch.nn.functional.interpolate(square, size=(size[0], size[0]), mode="bilinear")
    square = recolour(soften(square, generator), generator)
    back = torch.nn.functional.interpolate(square, size=size, mode="bilinear")
    return (back * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=60)
    options = parser.parse_args()
    people = unknown_people(options.people)
    faces, identities = FaceReader.from_pretrained(), IdentityReader.from_pretrained()
    print(f"{'':12}" + "".join(f"{name:>11}" for name in READ) + f"{'confused':>11}{'likeness':>11}{'others':>11}")
    for way in ("drawn", "softened"):
        measure, read, true = IdentityConfusion(identities), [], []
        for number, (name, drawn, other) in enumerate(people):
            frames = drawn.frames if way == "drawn" else softened(drawn.frames, number)
            tracks = faces.follow([frame[None] for frame in frames], [box[None] for box in drawn.face_boxes])
            read += [track.pose[0, 0] for track in tracks]
            true += list(drawn.pose)
            args = (frames, drawn.face_boxes[:, None], other.frames[0], other.face_boxes, (name,))
            measure.update(*args)
        likeness = [np.corrcoef(r, t)[0, 1] for r, t in zip(np.array(read).T, np.array(true).T, strict=True)]
        found = measure.compute()
        figures = [*likeness, found["confused"], found["likeness"], found["others"]]
        print(f"{way:12}" + "".join(f"{figure:11.3f}" for figure in figures))


if __name__ == "__main__":
    main()
