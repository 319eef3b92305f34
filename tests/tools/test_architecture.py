"""The page about the rooms, written of small packages."""

import architecture
import pytest

PAGE = """# Rooms

<!-- picture: tools/architecture.py writes this -->
<!-- end of picture -->

Words of ours.

<!-- rooms: tools/architecture.py writes this -->
old
<!-- end of rooms -->
<!-- files: tools/architecture.py writes this -->
<!-- end of files -->
"""


@pytest.fixture
def checkout(tmp_path):
    files = {
        "pyproject.toml": '[[tool.importlinter.contracts]]\ntype = "layers"\n'
        'layers = ["cli", "(serving)", "generation", "weights | casting", "pipeline", "scene", "errors"]\n',
        "docs/architecture.md": PAGE,
        "src/polytalk/__init__.py": "from polytalk.generation.make import make\n",
        "src/polytalk/errors.py": '"""The one error."""\n',
        "src/polytalk/scene/__init__.py": '"""What is asked for. Checked when built.\n\nMore.\n"""\n',
        "src/polytalk/scene/box.py": '"""Rectangles of the picture that are\nsaid | written. And more.\n"""\n',
        "src/polytalk/scene/formats/__init__.py": '"""Files of scenes."""\n',
        "src/polytalk/scene/formats/json.py": '"""Two forms of it:\n\n    one and two\n"""\n',
        "src/polytalk/pipeline/__init__.py": '"""The method."""\nfrom polytalk.scene import box\n',
        "src/polytalk/casting/__init__.py": '"""Who is who?"""\nfrom polytalk.scene.box import Box\n',
        "src/polytalk/weights/__init__.py": "",
        "src/polytalk/generation/__init__.py": '"""A request in, a video out."""\n',
        "src/polytalk/generation/make.py": '"""All of it."""\ndef make():\n'
        "    from polytalk.scene import box\n    from polytalk.pipeline import x\n    from polytalk.casting import y\n",
        "src/polytalk/cli/__init__.py": '"""Parses."""\nfrom polytalk.generation.make import make\n'
        "from polytalk.scene import box\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def run(checkout, *arguments):
    return architecture.main(["--root", str(checkout), *arguments])


def page(checkout):
    return (checkout / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_a_stale_page_is_noticed_and_left_as_it_is(checkout, capsys):
    assert run(checkout, "--check") == 1
    assert "python tools/architecture.py" in capsys.readouterr().err
    assert page(checkout) == PAGE


def test_a_fresh_page_is_in_order_until_the_code_changes(checkout):
    assert run(checkout) == 0
    assert run(checkout, "--check") == 0
    (checkout / "src" / "polytalk" / "scene" / "cue.py").write_text('"""What changes on the way."""\n')
    assert run(checkout, "--check") == 1
    assert run(checkout) == 0
    assert "- `cue.py`: What changes on the way." in page(checkout)


def test_rooms_and_files_say_what_their_docstrings_do(checkout):
    run(checkout)
    text = page(checkout)
    assert "Words of ours." in text
    assert "old" not in text
    rooms = [line for line in text.splitlines() if line.startswith("| `")]
    assert rooms == [
        "| `errors.py` | The one error. |",
        "| `scene/` | What is asked for. Checked when built. |",
        "| `pipeline/` | The method. |",
        "| `weights/` | (says nothing of itself) |",
        "| `casting/` | Who is who? |",
        "| `generation/` | A request in, a video out. |",
        "| `cli/` | Parses. |",
    ]
    assert "- `box.py`: Rectangles of the picture that are said | written.\n" in text
    assert "- **`formats/`** Files of scenes.\n- `formats/json.py`: Two forms of it\n" in text


def test_the_picture_shows_the_way_and_no_arrow_that_others_say(checkout):
    run(checkout)
    picture = page(checkout).partition("```mermaid")[2].partition("```")[0]
    drawn = {line.strip() for line in picture.splitlines() if ">" in line}
    assert drawn == {
        "cli ==> generation",  # and not to scene, which the rooms below bring
        "generation ==> casting",
        "generation ==> pipeline",
        "pipeline --> scene",
        "casting --> scene",
    }


def test_a_circle_keeps_its_arrows():
    edges = {"a": {"b", "c"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert architecture.reduced(edges) == {("a", "b"), ("a", "c"), ("b", "c"), ("c", "b"), ("c", "d")}
    assert architecture.reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {("a", "b"), ("b", "c")}


def test_a_room_that_is_in_no_layer_is_refused(checkout, capsys):
    folder = checkout / "src" / "polytalk" / "attic"
    folder.mkdir()
    (folder / "__init__.py").touch()
    assert run(checkout) == 1
    assert "attic is in no layer" in capsys.readouterr().err


def test_missing_marks_are_named(checkout, capsys):
    (checkout / "docs" / "architecture.md").write_text(PAGE.replace("<!-- end of rooms -->", ""), encoding="utf-8")
    assert run(checkout) == 1
    assert "end of rooms" in capsys.readouterr().err
