"""Draws the demo's picture and writes its scene: ``python tools/demo_scene.py``.

The voices beside them come from ``python tools/demo_voices.py``.
"""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from polytalk.assets import asset
from polytalk.synthetic.scene_config import SceneConfig
from polytalk.synthetic.scenes import draw_clip
from polytalk.synthetic.speech.conversation import SyntheticConversation
from polytalk.units import SAMPLES_PER_FRAME

SEED = 138
SCENE = SceneConfig(
    height=576,
    width=1024,
    num_frames=1,
    people=(2, 2),
    head_size=(0.62, 0.75),
    crowding=0.0,
    sources=(("painted person", 1.0),),
    backgrounds=(("room", 1.0), ("city", 1.0), ("outdoor", 1.0)),
    lighting=0.3,
    event_probability=0.0,
)


def silence(people: int, frames: int) -> SyntheticConversation:
    """A conversation in which nobody says anything."""
    sound = np.zeros((people, frames * SAMPLES_PER_FRAME), np.float32)
    nothing = sound[:, :0]
    mouths = np.zeros((people, frames, 3), np.float32)
    speaking = np.zeros((people, frames), bool)
    return SyntheticConversation(sound, mouths, speaking, nothing, nothing, ((),) * people, ("",) * people)


def main() -> None:
    """Write demo.png and demo.json among the assets."""
    folder = asset()
    clip = draw_clip(SEED, SCENE, silence(2, 1))
    Image.fromarray(clip.frames[0]).save(folder / "demo.png", optimize=True)
    order = np.argsort(clip.face_boxes[0, :, 0])
    middle = int(clip.face_boxes[0, order, :][:, [0, 2]].mean())
    boxes = [(0, 0, middle, SCENE.height), (middle, 0, SCENE.width, SCENE.height)]
    speakers = [
        {"audio": f"demo_{side}.flac", "box": dict(zip(("left", "top", "right", "bottom"), box, strict=True))}
        for side, box in zip(("left", "right"), boxes, strict=True)
    ]
    scene = {"image": "demo.png", "prompt": clip.prompt, "speakers": speakers}
    (folder / "demo.json").write_text(json.dumps(scene, indent=2) + "\n")


if __name__ == "__main__":
    main()
