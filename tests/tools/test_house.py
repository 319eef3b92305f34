"""The floor plan of small packages whose faults are known."""

import json
import sys

import house
import pytest


@pytest.fixture
def build(tmp_path):
    def make(**files):
        for name, text in files.items():
            path = tmp_path / "src" / "polytalk" / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        modules = (tmp_path / "src").rglob("*.py")
        for folder in {tmp_path / "src" / "polytalk", *(path.parent for path in modules)}:
            (folder / "__init__.py").touch()
        return house.House(tmp_path / "src")

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
    assert found.imports["polytalk.a.one"] == {"polytalk.b", "polytalk.b.two"}
    assert found.reach("polytalk.a.one") == {"polytalk.a.one", "polytalk.b", "polytalk.b.two"}
    assert found.imports["polytalk.b"] == {"polytalk.b.two"}


def test_lines_and_rooms(build):
    found = build(a__one="x = 1\n" * 30, top="x = 1\n" * 5, b__c__deep="x = 1\n" * 40)
    assert found.rooms() == {"b": (40, 2), "a": (30, 2), "(top)": (5, 2)}
    assert not found.circles()


def test_folders_are_counted_apart_from_what_lies_below(build):
    found = build(a__one="x = 1\n" * 30, b__c__deep="x = 1\n" * 40, b__c__d__deeper="x = 1\n" * 5, b__e="x = 1\n")
    assert found.rooms()["b"] == (46, 6)
    assert found.folders() == {"b/c": (40, 2), "a": (30, 2), "b/c/d": (5, 2), "b": (1, 2), "(top)": (0, 1)}


def test_relative_imports_and_submodules_count(build):
    found = build(
        a__one="from . import two\nfrom ..b.three import x\n", a__two="from polytalk import b\n", b__three="x = 1\n"
    )
    assert found.imports["polytalk.a.one"] == {"polytalk.a.two", "polytalk.b.three"}
    assert found.imports["polytalk.a.two"] == {"polytalk.b"}


def test_what_import_module_names_is_reached(build):
    found = build(
        a__one="import importlib\ndef f():\n    return importlib.import_module('polytalk.b.two')\n",
        b__two="def g():\n    import polytalk.c.three\n",
        c__three="",
        c__four="NAME = 'polytalk.a.one'\n",
    )
    assert found.reach("polytalk.a.one") == {"polytalk.a.one", "polytalk.b.two", "polytalk.c.three"}
    around = {"polytalk", "polytalk.a", "polytalk.b", "polytalk.c"}
    assert found.reach("polytalk.a.one", packages=True) == found.reach("polytalk.a.one") | around
    assert found.reach("polytalk.c.four") == {"polytalk.c.four"}
    assert not found.circles()


def test_doors_make_a_circle_of_rooms_only_where_they_count(build):
    found = build(cli="from polytalk.a import one\n", errors="", a__one="import polytalk.errors\n")
    assert found.room_circles() == []
    assert found.room_circles(top=True) == [["(top)", "a"]]


def test_longest_functions_are_named_with_their_class(build):
    found = build(a__one="class C:\n    def m(self):\n        x = 1\n        return x\ndef f():\n    pass\n")
    assert found.functions() == {"polytalk.a.one.C.m": 3, "polytalk.a.one.f": 2}


def test_a_run_is_followed(build):
    # a → b → a by a call, by the start of a generator and not by its going on; c runs when it is imported, and d never
    found = build(
        cli="from pathlib import Path\nimport sys\n\ndef main():\n    from polytalk.a.one import f\n    f()\n"
        "    Path(sys.argv[sys.argv.index('-o') + 1]).touch()\n",
        a__one="from polytalk.b.two import g\nfrom polytalk.c import three\nimport polytalk.d\n\ndef f():\n"
        "    return g(values(), again)\n\ndef values():\n    yield 1\n    yield 2\n\ndef again():\n    pass\n",
        b__two="def g(values, call):\n    call()\n    call()\n    return list(values)\n",
        c__three="class Three:\n    pass\n\ndef made():\n    pass\n\nmade()\n",
        d__four="X = 1\n",
    )
    traced = house.trace(found.source.parent)
    assert traced["entered"] == ["cli.py", "c/three.py", "a/one.py", "b/two.py"]
    assert traced["called"] == ["cli.py", "a/one.py", "b/two.py"]
    assert traced["back"] == {"b/two.py > a/one.py": 3}


def test_a_run_that_fails_is_no_figure(build):
    found = build(cli="def main():\n    raise SystemExit(2)\n")
    with pytest.raises(RuntimeError, match="failed"):
        house.trace(found.source.parent)


def test_figures_are_shown_beside_those_of_before(build, tmp_path, monkeypatch, capsys):
    found = build(pipeline__multitalk="from polytalk.a.one import x\n", a__one="x = 1\n" * 450)
    file = tmp_path / "before.json"
    command = ["house.py", "--root", str(found.source.parent)]
    monkeypatch.setattr(sys, "argv", [*command, "--json", str(file)])
    house.main()
    before = json.loads(file.read_text())
    assert before["files above 400 lines"] == {"polytalk.a.one": 450}
    assert before["reach of multitalk.py"] == 2
    file.write_text(json.dumps(before | {"lines": 9999, "rooms": {"gone": [7, 1]}}))
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", [*command, "--from", "polytalk.a.one", "--compare", str(file)])
    house.main()
    lines = {line[:44].strip(): line[44:].split() for line in capsys.readouterr().out.splitlines()}
    assert lines["lines; files"] == ["9,999;", "5", "451;", "5"]
    assert lines["room gone: lines; files"] == ["7;", "1", "–"]
    assert lines["reach of one.py, files"] == ["–", "1"]


def test_the_way_back_to_a_room_is_counted():
    assert house.returns(["cli/a.py", "media/x.py", "cli/b.py", "cli/c.py", "media/y.py"]) == ["cli/b.py", "media/y.py"]
    assert not house.returns(["cli/a.py", "cli/b.py", "media/x.py"])
