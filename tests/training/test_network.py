"""Losses of the network's stages on clips of random latents."""

import copy
import dataclasses

import pytest
import torch

from polytalk.diffusion import Guidance
from polytalk.errors import PolytalkError
from polytalk.motion.idle import CHANNELS
from polytalk.training.decoded import DecodedFaces, face_windows
from polytalk.training.latents import EYES, MOUTH
from polytalk.training.stages.autoencoder import build_autoencoder
from polytalk.training.stages.clip_loss import ClipLoss
from polytalk.training.stages.distillation import DistillationConfig, DistillationLoss
from polytalk.training.stages.mini_network import MiniNetwork, NetworkStageConfig, predict


@pytest.fixture(scope="module")
def model() -> MiniNetwork:
    torch.manual_seed(0)
    model = MiniNetwork()
    with torch.no_grad():  # weights that start at zero would hide what reaches the output
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and not parameter.any():
                parameter.normal_(0, 0.02)
            assert parameter.isfinite().all(), name
    return model


def _batch(people: int = 2, frames: int = 9, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latent_frames, height, width = (frames + 3) // 4, 4, 8
    latents = torch.randn(2, 16, latent_frames, height, width, generator=generator)
    classes = torch.full((2, latent_frames, height // 2, width // 2), people, dtype=torch.uint8)
    masks = torch.zeros(2, people, height, width, dtype=torch.bool)
    for person in range(people):
        masks[:, person, :, 4 * person : 4 * person + 2] = True
        classes[..., 2 * person] = person
    return {
        "latents": latents,
        "still": latents[:, :, :1].expand(-1, -1, latent_frames, -1, -1).clone(),
        "features": torch.randn(2, people, frames + 4, 4, 96, generator=generator),
        "picture": torch.randint(0, 256, (2, 8 * height, 8 * width, 3), dtype=torch.uint8, generator=generator),
        "flags": torch.randint(0, 3, (2, latent_frames, height, width), dtype=torch.uint8, generator=generator),
        "classes": classes,
        "masks": masks,
        "ids": torch.zeros(2, 4, 8, dtype=torch.int16),
        "pose": torch.randn(2, people, frames, len(CHANNELS), generator=generator).half(),
    }


def _loss(config: NetworkStageConfig, model: MiniNetwork, people: int = 2, seed: int = 3) -> dict[str, torch.Tensor]:
    ids = model.text_encoder.tokenize([""]).expand(2, -1, -1)
    batch = {**_batch(people), "ids": ids}
    return ClipLoss(config)(model, batch, 0.5, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("own_wear", [0.0, 1.0])
def test_every_part_of_the_network_learns(model, people, own_wear):
    config = NetworkStageConfig(tasks=(), motion_frames=(0.5, 0.5), drop_audio=0.0, own_wear=own_wear)
    learner = copy.deepcopy(model)
    losses = _loss(config, learner, people)
    assert ("map" in losses) == (people == 2)
    losses["loss"].backward()
    for part in (learner.transformer, learner.text_encoder, learner.image_encoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_what_people_do_unasked_is_told_without_sound_too(model):
    batch = {**_batch(), "ids": model.text_encoder.tokenize([""]).expand(2, -1, -1)}
    told = NetworkStageConfig(tasks=(), drop_audio=1.0, drop_pose=0.0)
    generator = torch.Generator().manual_seed(0)
    conditions = ClipLoss(told).conditions(model, batch, 0.0, generator)
    assert not conditions.audio.any()
    assert torch.equal(conditions.pose, batch["pose"].float())
    inputs = torch.randn(2, 36, 3, 4, 8, generator=generator)
    sigma = torch.tensor([0.8, 0.8])
    silent = dataclasses.replace(conditions, pose=torch.zeros_like(conditions.pose))
    with torch.no_grad():
        moving, still = (predict(model, inputs, sigma, each)[0] for each in (conditions, silent))
    assert (moving - still).abs().mean() > 1e-3


@pytest.mark.parametrize("told", [True, False])
def test_some_clips_are_not_told_how_people_move(model, told):
    batch = {**_batch(), "ids": model.text_encoder.tokenize([""]).expand(2, -1, -1)}
    loss = ClipLoss(NetworkStageConfig(tasks=(), drop_pose=0.0 if told else 1.0))
    conditions = loss.conditions(model, batch, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(conditions.pose, batch["pose"].float() * told)


def test_channels_count_by_what_they_do_to_the_pixels():
    torch.manual_seed(0)
    autoencoder = build_autoencoder()
    with torch.no_grad():
        autoencoder.linear_out.weight[:, 3] *= 5
    loss = ClipLoss(NetworkStageConfig(tasks=(), channel_power=0.5), autoencoder)
    assert loss.channels.argmax() == 3
    assert loss.channels.mean() == pytest.approx(1.0)
    batch, known = _batch(), torch.tensor([1, 1])
    clean = batch["latents"]
    wrong = [clean.clone(), clean.clone()]
    for channel, predicted in zip((3, 4), wrong, strict=True):
        predicted[:, channel] += 1
    heavy, light = (loss.errors(each, clean, batch, torch.tensor([0.5, 0.5]), known) for each in wrong)
    assert heavy["loss"] > 2 * light["loss"]
    assert heavy["all"] == pytest.approx(float(light["all"]))


def test_decoded_mouths_tell_soft_lips_from_sharp_ones():
    torch.manual_seed(0)
    measure = DecodedFaces(build_autoencoder())
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(2, 16, 3, 12, 20, generator=generator)
    flags = torch.zeros(2, 3, 12, 20, dtype=torch.uint8)
    flags[0, :, 5:7, 3:5] = flags[1, :, 10:12, 18:20] = MOUTH
    assert face_windows(flags, generator)[1] == (4, 12)
    predicted = wanted.clone().requires_grad_()
    far = wanted.clone()
    far[0, :, :, :, 14:] += 1  # outside of the first clip's window
    far[1, :, :, 8:, 16:] += 1
    same, apart = measure(predicted, wanted, flags, generator), measure(far, wanted, flags, generator)
    assert same.detach().abs().max() < 1e-3
    assert apart[0] < 1e-3 < apart[1]
    measure(predicted + 0.5, wanted, flags, generator).sum().backward()
    assert predicted.grad.abs().sum() > 0


def test_eyes_are_decoded_in_so_many_clips():
    flags = torch.zeros(400, 1, 16, 32, dtype=torch.uint8)
    flags[:, :, 12, 20], flags[:, :, 6, 20] = MOUTH, EYES
    rows = [row for row, _ in face_windows(flags, torch.Generator().manual_seed(0), 0.4)]
    assert set(rows) == {2, 8}
    assert 0.3 < rows.count(2) / 400 < 0.5


@pytest.mark.parametrize("people", [1, 2])
def test_decoded_mouths_are_part_of_the_loss(model, people):
    config = NetworkStageConfig(tasks=(), decoded_weight=2.0, map_weight=0.0, drop_audio=0.0)
    batch = _batch(people)
    batch = {name: value.repeat_interleave(2, -2).repeat_interleave(2, -1) if name in ("latents", "still", "flags",
             "classes", "masks") else value for name, value in batch.items()}  # fmt: skip
    batch["ids"] = model.text_encoder.tokenize([""]).expand(2, -1, -1)
    with_pixels = ClipLoss(config, build_autoencoder())
    without = ClipLoss(dataclasses.replace(config, decoded_weight=0.0))
    more, less = (loss(model, batch, 0.5, torch.Generator().manual_seed(3)) for loss in (with_pixels, without))
    added = float((more["loss"] - less["loss"]).detach())
    assert added == pytest.approx(2 * float(more["decoded"].detach()), rel=0.05)


def test_own_wear_changes_motion_frames_alone(model):
    config = NetworkStageConfig(tasks=(), motion_frames=(0.0, 1.0))
    batch, clean = _batch(), _batch()["latents"]
    known, noisy = torch.tensor([2, 2]), torch.zeros_like(clean)
    error = torch.ones_like(clean)
    plain, worn = (
        ClipLoss(config).inputs(batch, noisy, known, torch.Generator().manual_seed(0), e) for e in (None, error)
    )
    difference = (worn - plain)[:, 20:]
    assert (difference[:, :, :2] > 0).all()
    assert not difference[:, :, 2:].any()


def test_weight_of_change_counts_where_the_picture_shows_something_else():
    batch = _batch()
    batch["flags"] = torch.zeros_like(batch["flags"])
    clean = batch["latents"]
    still = {**batch, "still": clean}

    def error(weight: float, clips: dict[str, torch.Tensor]) -> float:
        loss = ClipLoss(NetworkStageConfig(tasks=(), change_weight=weight))
        return float(loss.errors(clean + 1, clean, clips, torch.ones(2), torch.ones(2, dtype=torch.long))["loss"])

    assert error(4.0, still) == pytest.approx(error(0.0, still))
    assert error(0.0, batch) == pytest.approx(error(0.0, still))
    assert error(4.0, batch) > 1.5 * error(0.0, batch)


def _distillation(model: MiniNetwork, guidance: float, seed: int) -> float:
    config = DistillationConfig(tasks=(), audio_guidance=(guidance,) * 3, map_weight=0.0)
    batch = {**_batch(), "ids": model.text_encoder.tokenize([""]).expand(2, -1, -1)}
    generator = torch.Generator().manual_seed(seed)
    return float(DistillationLoss(config, copy.deepcopy(model))(model, batch, 0.0, generator)["loss"].detach())


def test_without_guidance_the_teacher_is_its_own_student(model):
    for seed in range(3):
        assert _distillation(model, 1.0, seed) == pytest.approx(0, abs=1e-6)
        assert _distillation(model, 3.0, seed) > 1e-6


def test_a_student_learns_the_guided_prediction(model):
    config = DistillationConfig(tasks=(), audio_guidance=(3.0, 3.0), map_weight=0.0, own_states=0.5)
    student = copy.deepcopy(model)
    loss = DistillationLoss(config, copy.deepcopy(model))
    batch = {**_batch(), "ids": model.text_encoder.tokenize([""]).expand(2, -1, -1)}
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    course = []
    for step in range(24):
        found = loss(student, batch, 0.0, torch.Generator().manual_seed(step % 2))["loss"]
        found.backward()
        optimizer.step()
        optimizer.zero_grad()
        course.append(float(found.detach()))
    assert sum(course[-4:]) < 0.5 * sum(course[:4])


@pytest.mark.parametrize("scales", [(1.0, 3.0), (3.0, 3.0), (2.0, 4.0)])
def test_guidance_of_the_teacher_is_the_samplers(model, scales):
    text, audio = scales
    batch = {**_batch(), "ids": model.text_encoder.tokenize(["a man nods", "two dogs"])}
    loss = DistillationLoss(DistillationConfig(tasks=(), audio_guidance=(audio,), text_guidance=text), model)
    told = loss.conditions(model, batch, 0.0, torch.Generator().manual_seed(0))
    inputs = torch.randn(2, 36, 3, 4, 8, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.8, 0.8])
    empty = model.text_encoder(model.text_encoder.tokenize([""]).expand(2, -1, -1))
    guidance = Guidance(text, audio)
    with torch.no_grad():
        found = loss._guided(inputs, sigma, told, audio)
        parts = {
            branch: predict(model, inputs, sigma, dataclasses.replace(
                told, text=told.text if branch.has_text else empty, audio=told.audio if branch.has_audio else None
            ))[0]
            for branch in guidance.passes()
        }  # fmt: skip
    torch.testing.assert_close(found, guidance.start_clip().combine(parts), atol=1e-4, rtol=1e-4)


def test_guidance_may_make_more_of_what_people_are_told_to_do(model):
    batch = {**_batch(), "ids": model.text_encoder.tokenize(["a man nods", "two dogs"])}
    loss = DistillationLoss(DistillationConfig(tasks=(), audio_guidance=(3.0,), guide_pose=True, drop_pose=0.0), model)
    told = loss.conditions(model, batch, 0.0, torch.Generator().manual_seed(0))
    inputs = torch.randn(2, 36, 3, 4, 8, generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.8, 0.8])
    with torch.no_grad():
        found, (full, _) = loss._guided(inputs, sigma, told, 3.0), predict(model, inputs, sigma, told)
        untold = dataclasses.replace(told, audio=None, pose=torch.zeros_like(told.pose))
        without, _ = predict(model, inputs, sigma, untold)
        heard_only, _ = predict(model, inputs, sigma, dataclasses.replace(told, audio=None))
        limited = DistillationLoss(dataclasses.replace(loss.config, guidance_limit=0.05), model)._guided(
            inputs, sigma, told, 3.0
        )
    torch.testing.assert_close(found, without + 3 * (full - without), atol=1e-4, rtol=1e-4)
    assert (found - full).abs().max() > 0.1
    assert (limited - full).abs().max() < 0.0501
    assert (without - heard_only).abs().max() > 1e-3


@pytest.mark.parametrize(
    "wrong",
    [{"audio_guidance": ()}, {"own_states": 2.0}, {"drop_audio": 0.1}, {"text_guidance": 0.5}, {"guidance_limit": 0.0}],
)
def test_impossible_distillations_are_refused(wrong):
    with pytest.raises(PolytalkError):
        DistillationConfig(tasks=(), **wrong)


def _twins(model: MiniNetwork) -> dict[str, torch.Tensor]:
    batch = {**_batch(), "ids": model.text_encoder.tokenize([""]).expand(2, -1, -1), "twins": torch.tensor(True)}
    for name in ("still", "picture", "masks", "classes", "pose"):
        batch[name] = batch[name][:1].expand(2, *batch[name].shape[1:]).clone()
    return batch


def test_twins_share_all_that_is_drawn_by_chance(model):
    config = NetworkStageConfig(
        tasks=(), motion_frames=(0.3, 0.7), own_wear=1.0, motion_blur=0.5, motion_offset=0.1, drop_fill=0.5,
        drop_text=0.5, drop_pose=0.5, drop_audio=0.0,
    )  # fmt: skip
    batch = _twins(model)
    for name in ("latents", "features", "flags"):
        batch[name] = batch[name][:1].expand(2, *batch[name].shape[1:]).clone()
    seen = []

    class Kept(ClipLoss):
        def compare(self, model, inputs, *others):
            seen.append(inputs)
            return super().compare(model, inputs, *others)

    for seed in range(6):
        Kept(config)(model, batch, 0.5, torch.Generator().manual_seed(seed))
        assert torch.equal(seen[-1][0], seen[-1][1])
    assert not torch.equal(seen[0], seen[1])


def test_weight_of_twins_counts_the_difference_alone(model):
    batch = _twins(model)
    clean, sigma, known = batch["latents"], torch.full((2,), 0.5), torch.ones(2, dtype=torch.long)

    def error(weight: float, predicted: torch.Tensor) -> float:
        loss = ClipLoss(NetworkStageConfig(tasks=(), twin_weight=weight))
        return float(loss.errors(predicted, clean, batch, sigma, known)["loss"])

    common = clean + torch.randn(clean.shape[1:], generator=torch.Generator().manual_seed(0))
    assert error(0.0, common) == pytest.approx(error(4.0, common), rel=1e-5)
    opposite = clean + torch.tensor([1.0, -1.0]).view(2, 1, 1, 1, 1)
    assert error(1.0, opposite) == pytest.approx(3 * error(0.0, opposite), rel=1e-5)
    heard = ClipLoss(NetworkStageConfig(tasks=())).errors(common, clean, batch, sigma, known)["heard"]
    assert float(heard) == pytest.approx(1.0, abs=1e-5)
