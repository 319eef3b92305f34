"""The readers of faces on drawn people: poses, places, and who is who; and what they are trained on."""

import numpy as np
import pytest
import torch

from polytalk.errors import PolytalkError
from polytalk.evaluation.measures.identity import IdentityConfusion
from polytalk.evaluation.readers.face_reader import TIGHT, WIDE, FaceReader
from polytalk.evaluation.readers.identity_reader import IdentityReader
from polytalk.evaluation.scenes.synthetic_faces import READ, SyntheticFaces, draw_faces, random_poses
from polytalk.synthetic.characters.registry import SOURCES
from polytalk.training.readers.faces import (
    FaceTraining,
    cut_face_squares,
    draw_pairs,
    identity_loss,
    pose_batch,
    pose_loss,
    train,
)

NAMES = ("flat person", "outlined person", "painted person", "sketch person", "painted animal", "3-D person")


@pytest.fixture(scope="module")
def people() -> list[SyntheticFaces]:
    """Twelve people unknown to the readers, each in six poses."""
    drawn = []
    for number in range(12):
        rng = np.random.default_rng(1_500_000_000 + number)
        drawn.append(draw_faces(SOURCES[NAMES[number % len(NAMES)]](rng), random_poses(rng, 6), rng))
    return drawn


@pytest.fixture(scope="module")
def squares():
    return cut_face_squares(4, 4, seed=9_000_000)


def test_reads_poses_of_people_it_never_saw(people):
    reader = FaceReader.from_pretrained()
    read, true = [], []
    for faces in people:
        for frame, box, pose in zip(faces.frames, faces.face_boxes, faces.pose, strict=True):
            (track,) = reader.follow([frame[None]], [box[None]])
            read.append(track.pose[0, 0])
            true.append(pose)
    read, true = np.array(read), np.array(true)
    likeness = {name: np.corrcoef(read[:, n], true[:, n])[0, 1] for n, name in enumerate(READ)}
    for name, least in {"blink": 0.8, "yaw": 0.9, "roll": 0.9, "pitch": 0.7, "hand": 0.8, "smile": 0.6}.items():
        assert likeness[name] > least, likeness


def test_follows_a_head_that_moves_and_grows(people):
    reader, faces = FaceReader.from_pretrained(), people[0]
    frame, box = faces.frames[0], faces.face_boxes[0]
    video = np.stack([np.roll(frame, 2 * t, axis=1) for t in range(12)])
    (track,) = reader.follow([video], [box[None]])
    assert track.centre[-1, 0, 0] - track.centre[0, 0, 0] == pytest.approx(22, abs=5)
    assert abs(track.centre[-1, 0, 1] - track.centre[0, 0, 1]) < 4
    assert track.of("yaw").shape == (12, 1)


def test_people_are_told_apart_and_exchanged_ones_are_noticed(people):
    right, wrong, soft = (IdentityConfusion(IdentityReader.from_pretrained()) for _ in range(3))
    for number, faces in enumerate(people):
        boxes, other = faces.face_boxes[:, None], people[(number + 1) % len(people)]
        own = (faces.frames[0], faces.face_boxes[:1], (NAMES[number % len(NAMES)],))
        right.update(faces.frames, boxes, *own)
        wrong.update(other.frames, other.face_boxes[:, None], *own)
        grey = np.full_like(faces.frames, 127)
        soft.update(grey, boxes, *own)
    found = right.compute()
    assert found["people"] == 12
    assert found["confused"] <= 0.1
    assert found["likeness"] > found["others"] + 0.2
    assert wrong.compute()["confused"] >= 0.9
    assert soft.compute()["confused"] >= 0.8


def test_portraits_are_all_one_person_and_left_out(people):
    measure, faces = IdentityConfusion(IdentityReader.from_pretrained()), people[0]
    measure.update(faces.frames, faces.face_boxes[:, None], faces.frames[0], faces.face_boxes[:1], ("portrait",))
    assert np.isnan(measure.compute()["confused"])


def test_moved_squares_carry_their_truth(squares):
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(len(squares.tight))
    tight, wide, pose, place = pose_batch(squares, index, generator)
    assert tight.shape == (16, 3, TIGHT, TIGHT)
    assert wide.shape == (16, 3, WIDE, WIDE)
    mirrored = (pose[:, READ.index("yaw")] - squares.pose[:, READ.index("yaw")]).abs() > 1e-6
    assert 0 < int(mirrored.sum()) < 16
    assert torch.allclose(pose[:, 0], squares.pose[:, 0])  # eyelids know no left and right
    assert float(place[:, :2].abs().max()) <= 0.18


def test_pairs_are_one_person_before_two_backgrounds(squares):
    pairs = draw_pairs(squares, 4, 4, torch.Generator().manual_seed(1))
    assert torch.equal(squares.owner[pairs[:, 0]], squares.owner[pairs[:, 1]])
    assert torch.equal(pairs // 2 % 2, torch.tensor([[0, 1]]).expand(len(pairs), 2))


def test_training_lowers_the_losses(squares):
    torch.manual_seed(0)

    def losses(face: FaceReader, who: IdentityReader) -> tuple[float, float]:
        generator = torch.Generator().manual_seed(3)
        batch = pose_batch(squares, torch.arange(16), generator)
        pairs = draw_pairs(squares, 4, 4, generator)
        with torch.no_grad():
            return float(pose_loss(face, batch)), float(identity_loss(who, squares, pairs, generator))

    before = losses(FaceReader(), IdentityReader())
    face = train("pose", squares, 4, FaceTraining(steps=25, batch=16))
    who = train("identity", squares, 4, FaceTraining(steps=25, batch=4))
    after = losses(face, who)
    assert after[0] < 0.9 * before[0]
    assert after[1] < before[1]


def test_missing_weights_and_boxes_are_named(tmp_path):
    with pytest.raises(PolytalkError, match=r"training\.readers\.faces"):
        FaceReader.from_pretrained(tmp_path / "none.safetensors")
    with pytest.raises(PolytalkError, match="boxes"):
        FaceReader.from_pretrained().follow([np.zeros((1, 32, 32, 3), np.uint8)], [])


def test_readers_are_kept_small():
    assert sum(p.numel() for p in FaceReader().parameters()) * 2 < 900_000
    assert sum(p.numel() for p in IdentityReader().parameters()) * 2 < 400_000
