"""One function for every door: command and Python make the same file; each of the user's files is opened once."""

import collections
import shutil
from pathlib import Path

import av
import pytest
from command_line import polytalk, write_good_files
from PIL import Image
from tiny_model import picture, tiny_pipeline, voice

import polytalk as package
from polytalk import Box, GenerateRequest, PolytalkError, Scene, Speaker, generate
from polytalk.assets import asset
from polytalk.generation import events
from polytalk.media.video import VideoWriter, read_video


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_good_files()
    return tmp_path


def wanted(model, **changes):
    common = {"image": "two.png", "speakers": ["left.wav", "right.wav"], "prompt": "they talk", "output": "ours.mp4"}
    return GenerateRequest(**{**common, "model": str(model), "device": "cpu", "dtype": "float32", **changes})


COMMAND = ("--image", "two.png", "--speaker", "left.wav", "--speaker", "right.wav", "--prompt", "they talk")


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ((), {}),
        (("--seed", 3, "--steps", 2, "--fixed-masks"), {"seed": 3, "num_inference_steps": 2, "carry_masks": False}),
        (("--no-find", "--max-seconds", 0.2), {"find": False, "max_seconds": 0.2}),
        (("--close-ups", "--box", "0,0,40,60", "--box", "50,0,90,60"),
         {"close_ups": True, "boxes": [Box(0, 0, 40, 60), "50,0,90,60"]}),
    ],
)  # fmt: skip
def test_command_and_python_make_the_same_bytes(files, model, options, fields):
    result = polytalk(
        "generate", *COMMAND, "--model", model, "--device", "cpu", "--dtype", "float32", "-o", "theirs.mp4", *options
    )
    assert result.exit_code == 0, result.stderr
    made = generate(wanted(model, **fields))
    assert Path("ours.mp4").read_bytes() == Path("theirs.mp4").read_bytes()
    frames, _ = read_video("ours.mp4")
    assert made.output == Path("ours.mp4")
    assert (made.num_frames, *made.size) == frames.shape[:3]
    assert made.settings["dtype"] == "float32"
    assert [row.name for row in made.preflight.people] == ["speaker 1", "speaker 2"]


class Opened(collections.Counter):
    """How often each file is opened by a decoder, and read whole."""

    def watch(self, monkeypatch):
        def counted(real):
            def opening(file, *arguments, **options):
                mode = (list(arguments) or [options.get("mode", "r")])[0]
                if isinstance(file, str | Path) and "w" not in str(mode):
                    self[Path(file).name] += 1
                return real(file, *arguments, **options)

            return opening

        monkeypatch.setattr(Image, "open", counted(Image.open))
        monkeypatch.setattr(av, "open", counted(av.open))
        return self


@pytest.mark.parametrize("fields", [{}, {"find": False}, {"close_ups": True, "preview": "who.png", "explain": "why"}])
def test_each_file_is_decoded_once(files, model, monkeypatch, fields):
    if fields.get("close_ups"):
        fields = {**fields, "boxes": ["0,0,40,60", "50,0,90,60"]}
    opened = Opened().watch(monkeypatch)
    generate(wanted(model, **fields))
    assert {name: opened[name] for name in ("two.png", "left.wav", "right.wav")} == {
        "two.png": 1,
        "left.wav": 1,
        "right.wav": 1,
    }


def test_a_recording_is_decoded_once(files, model, monkeypatch):
    shutil.copy(asset("demo_left.flac"), "talk.flac")
    opened = Opened().watch(monkeypatch)
    generate(wanted(model, speakers=(), recording="talk.flac", num_voices=1, max_seconds=0.5))
    assert (opened["two.png"], opened["talk.flac"]) == (1, 1)


def test_a_film_is_opened_for_its_pictures_by_one_reader(files, model, monkeypatch):
    with VideoWriter("film.mp4", 25) as writer:
        for _ in range(6):
            writer.write(picture())
    readers = []
    from polytalk.media import source_video

    real = source_video.VideoFile.__init__

    def counted(self, *arguments, **options):
        readers.append(arguments)
        real(self, *arguments, **options)

    monkeypatch.setattr(source_video.VideoFile, "__init__", counted)
    generate(wanted(model, image=None, video="film.mp4"))
    assert len(readers) == 1


def test_what_happens_is_told_in_order(files, model):
    told = []
    generate(wanted(model), told.append)
    kinds = list(dict.fromkeys(type(event) for event in told))
    assert kinds[:4] == [events.Begins, events.WhoIsWho, events.Loaded, events.Progress]


def test_a_dry_run_makes_nothing_but_the_preview(files, model):
    made = generate(wanted(model, dry_run=True))
    assert made.output is None
    assert Path("ours.preview.png").exists()
    assert not Path("ours.mp4").exists()


def test_a_scene_in_memory(files, model):
    speakers = [Speaker(voice(0.3, seed), 16_000) for seed in (0, 1)]
    scene = Scene(picture(), "they talk", speakers)
    generate(wanted(model, image=None, speakers=(), prompt=None, scene=scene, output="memory.mp4"))
    assert len(read_video("memory.mp4")[0]) == 7


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"output": None}, "output"),
        ({"output": "talk.avi"}, "talk.avi"),
        ({"image": None}, "image"),
        ({"speakers": ()}, "speakers"),
        ({"video": "film.mp4"}, "video"),
        ({"image": None, "video": "film.txt"}, "video"),
        ({"voices": ["Anna=heart"]}, "voices"),
        ({"num_voices": 2}, "num_voices"),
        ({"masks": ["a.png", "b.png", "c.png"]}, "masks"),
        ({"preset": "slow"}, "preset"),
        ({"size_class": "720p"}, "size_class"),
        ({"fit": True, "parallel": "ulysses=2"}, "fit"),
        ({"close_ups": True, "height": 6000, "boxes": ["0,0,40,60", "50,0,90,60"]}, "height"),
    ],
)
def test_bad_requests_are_named_and_leave_nothing(files, model, fields, field):
    before = sorted(path.name for path in files.iterdir())
    with pytest.raises(PolytalkError) as error:
        generate(wanted(model, **fields))
    assert error.value.field == field
    assert sorted(path.name for path in files.iterdir()) == before


def test_cast_gives_everybody_a_place():
    scene = Scene(picture(), "they talk", [Speaker(voice(0.3, seed), 16_000) for seed in (0, 1)])
    found = package.cast(scene)
    assert len(found.speakers) == 2
    pipe = tiny_pipeline()
    with pytest.warns(UserWarning, match=r"polytalk\.cast"):
        pipe(scene, size=(48, 64), num_inference_steps=1)


def test_close_ups_that_cannot_be_planned_for_another_reason_are_not_hidden(files, model):
    Path("two.png").write_bytes(b"no picture")
    with pytest.raises(PolytalkError, match=r"two\.png"):
        generate(wanted(model))


def test_a_resumed_run_keeps_its_number_format(files, model):
    generate(wanted(model, work="work"))
    Path("ours.mp4").unlink()
    told = []
    generate(wanted(model, work="work", resume=True, dtype=None), told.append)
    assert next(event for event in told if isinstance(event, events.Loaded)).dtype == "float32"
