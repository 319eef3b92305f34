"""`polytalk generate --explain`."""

import json

from command_line import TWO, generate

from polytalk.media.video import read_video


def test_an_explanation_lies_beside_the_video(files, model):
    result = generate(model, *TWO, "--explain", "why")
    assert result.exit_code == 0, result.stderr
    assert "what the model sees" in result.stderr
    frames, _ = read_video("talk.mp4")
    overlay, _ = read_video("why/explain.mp4")
    assert len(overlay) == len(frames)
    told = json.loads((files / "why" / "explain.json").read_text())
    assert told["names"] == ["speaker 1", "speaker 2"]
    assert all(person["own_mask"] is not None for clip in told["clips"] for person in clip["people"])
    plain = generate(model, *TWO, "--force")
    assert "what the model sees" not in plain.stderr
    assert plain.exit_code == 0


def test_an_explanation_is_not_overwritten(files, model):
    (files / "why").mkdir()
    (files / "why" / "explain.json").write_text("mine")
    result = generate(model, *TWO, "--explain", "why")
    assert result.exit_code == 2
    assert "the file exists" in result.stderr
    assert not (files / "talk.mp4").exists()
    assert (files / "why" / "explain.json").read_text() == "mine"
    assert generate(model, *TWO, "--explain", "why", "--force").exit_code == 0
    assert (files / "why" / "explain.mp4").exists()
