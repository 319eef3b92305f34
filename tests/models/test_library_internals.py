"""Private names of libraries stay in the one file for them, and what that file promises about hooks."""

import ast
from pathlib import Path

import pytest
import torch
from diffusers.hooks.hooks import HookRegistry, ModelHook
from torch import nn

from polytalk.models import library_internals
from polytalk.models.library_internals import acts_like_forward, find_hook, forward_like_methods

SOURCE = Path(library_internals.__file__).parents[1]
READ_BY_LIBRARIES = {
    "_attention_backend", "_available_processors", "_default_processor_cls", "_diffusers_hook", "_hf_hook",
    "_keep_in_fp32_modules", "_no_split_modules", "_parallel_config", "_repeated_blocks", "_tied_weights_keys",
}  # fmt: skip
"""Private attributes that belong to diffusers, transformers or accelerate, though our classes may declare some."""
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def named(tree):
    """Every private name that a module of ours gives to anything."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.arg):
            yield node.name if hasattr(node, "name") else node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def foreign(tree, ours):
    """Lines on which a module uses a private name that is not ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            parts = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            if parts[0] != "polytalk" and any(map(is_private, parts[1:])):
                yield node.lineno
        elif isinstance(node, ast.Import):
            if any(is_private(part) for alias in node.names for part in alias.name.split(".")):
                yield node.lineno
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            if node.attr in READ_BY_LIBRARIES or node.attr not in ours | OF_NAMED_TUPLES:
                yield node.lineno
        elif isinstance(node, ast.Constant) and node.value in READ_BY_LIBRARIES:  # getattr(model, "_hf_hook")
            yield node.lineno


def test_private_names_of_libraries_are_used_in_one_file():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    ours = {name for tree in trees.values() for name in named(tree)}
    found = [f"{path}:{line}" for path, tree in trees.items() for line in foreign(tree, ours)]
    adapter = str(Path(library_internals.__file__))
    assert any(place.startswith(adapter) for place in found)  # the search finds something
    assert [place for place in found if not place.startswith(adapter)] == []


@pytest.mark.parametrize(
    "code",
    [
        "import torch._dynamo",
        "from diffusers.hooks._helpers import x",
        "from torch import _C",
        "torch._foreach_add_(x, y)",
        "model._hf_hook",
        'getattr(model, "_tied_weights_keys", None)',
        "module._buffers.items()",
    ],
)
def test_the_search_finds(code):
    assert list(foreign(ast.parse(code), set())) == [1]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.weight

    @acts_like_forward
    def twice(self, x):
        return 2 * x * self.weight


class Bring(ModelHook):
    """Takes note, as what brings weights would move them."""

    def __init__(self, name, notes):
        super().__init__()
        self.name, self.notes = name, notes

    def pre_forward(self, module, *args, **kwargs):
        self.notes.append(f"{self.name} brings")
        return args, kwargs

    def post_forward(self, module, output):
        self.notes.append(f"{self.name} takes away")
        return output


class Instead(ModelHook):
    def new_forward(self, module, x):
        return -self.fn_ref.original_forward(x)


def test_hooks_that_bring_weights_act_around_methods_like_forward():
    layer, notes = Layer(), []
    assert forward_like_methods(layer) == ["twice"]
    assert layer.twice(torch.tensor(3.0)) == 6
    assert find_hook(layer, "inner") is None
    assert not hasattr(layer, "_diffusers_hook")  # looking leaves no trace
    registry = HookRegistry.check_if_exists_or_initialize(layer)
    for name, hook in (("inner", Bring("inner", notes)), ("instead", Instead()), ("outer", Bring("outer", notes))):
        registry.register_hook(hook, name)
    order = ["outer brings", "inner brings", "inner takes away", "outer takes away"]
    assert layer(torch.tensor(3.0)) == -3
    assert notes == order
    notes.clear()
    assert layer.twice(torch.tensor(3.0)) == 6  # what replaces forward does not replace it
    assert notes == order
    assert find_hook(layer, "outer").name == "outer"
