"""The floor plan of small packages whose faults are known."""

import house
import pytest


@pytest.fixture
def build(tmp_path):
    def make(**files):
        for name, text in files.items():
            path = tmp_path / "polytalk" / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for folder in {path.parent for path in tmp_path.rglob("*.py")}:
            (folder / "__init__.py").touch()
        return house.House(tmp_path)

    return make


def test_circles_that_hide_in_functions_and_type_checking_are_found(build):
    found = build(
        a__one="def f():\n    from polytalk.b.two import g\n",
        b__two="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from polytalk.a.one import f\n",
        c__three="from polytalk.a import one\n",
    )
    assert found.circles() == [["polytalk.a.one", "polytalk.b.two"]]
    assert found.room_circles() == [["a", "b"]]


def test_names_that_a_package_gives_out_late_count_where_they_are_defined(build):
    found = build(a__one="from polytalk.b import Two\n", b__two="Two = 2\n", b__other="")
    path = found.source / "polytalk" / "b" / "__init__.py"
    path.write_text(
        "from importlib import import_module\nT = {'two': ('Two',)}\n"
        "def __getattr__(name):\n    return getattr(import_module(f'{__name__}.two'), name)\n"
    )
    found = house.House(found.source)
    assert found.imports["polytalk.a.one"] == {"polytalk.b.two"}
    assert found.reach("polytalk.a.one") == {"polytalk.a.one", "polytalk.b.two"}
    assert found.imports["polytalk.b"] == {"polytalk.b.two"}


def test_lines_and_rooms(build):
    found = build(a__one="x = 1\n" * 30, top="x = 1\n" * 5, b__c__deep="x = 1\n" * 40)
    assert found.rooms() == {"b": (40, 2), "a": (30, 2), "(top)": (5, 2)}
    assert not found.circles()


def test_the_way_back_to_a_room_is_counted():
    assert house.returns(["cli/a.py", "media/x.py", "cli/b.py", "cli/c.py", "media/y.py"]) == ["cli/b.py", "media/y.py"]
    assert not house.returns(["cli/a.py", "cli/b.py", "media/x.py"])
