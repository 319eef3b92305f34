"""A knob is declared once: help, schema, reference, errors and checks follow from its field."""

from dataclasses import dataclass
from typing import Literal

import pytest
from typer import Typer
from typer.testing import CliRunner

from polytalk.cli.knobs import command, own
from polytalk.config.knobs import MEMORY, json_schema, knob, knobs_of, reference, takes_knobs_of
from polytalk.config.options import LoadOptions
from polytalk.config.pipeline import PipelineConfig
from polytalk.errors import PolytalkError
from polytalk.generation.request import GenerateRequest


@dataclass(frozen=True)
class More(GenerateRequest):
    """A request with a field that nobody has heard of."""

    sparkle: Literal["none", "gold"] = knob("none", "How much everything glitters.", panel=MEMORY)
    grains: int = knob(3, "How many.", least=1, most=9)


def run_with(settings, *arguments):
    app, seen = Typer(), []

    def make(values, *, loud):
        """Make it."""
        seen.append((values, loud))

    app.command()(command(make, settings, settings.names(), own=[own("loud", bool, False)]))
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments)), seen


def test_a_new_field_appears_in_help_schema_and_reference():
    result, _ = run_with(More, "--help")
    assert result.exit_code == 0
    assert "--sparkle" in result.output
    assert "How much everything glitters." in result.output
    assert "Memory and speed" in result.output
    properties = json_schema(More)["properties"]
    assert properties["sparkle"] == {
        "description": "How much everything glitters.",
        "enum": ["none", "gold"],
        "default": "none",
    }
    assert (properties["grains"]["minimum"], properties["grains"]["maximum"]) == (1, 9)
    assert "| `sparkle` | `--sparkle` | `none` | How much everything glitters. |" in reference(More)


def test_what_is_given_reaches_the_request_and_nothing_else():
    result, seen = run_with(More, "--sparkle", "gold", "--speaker", "a.wav", "--speaker", "b.wav", "--fixed-masks")
    assert result.exit_code == 0, result.output
    values, loud = seen[0]
    assert not loud
    made = More(**values)
    assert (made.sparkle, made.grains, made.carry_masks, made.gate_silence) == ("gold", 3, False, None)
    assert [str(path) for path in made.speakers] == ["a.wav", "b.wav"]
    assert made.choices() == {"preset": None, "carry_masks": False}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"sparkle": "silver"}, "sparkle"),
        ({"grains": 0}, "grains"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"colour_strength": 1.5}, "colour_strength"),
        ({"shift": float("nan")}, "shift"),
        ({"strength": 0.0}, "strength"),
        ({"seed": -1}, "seed"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"size": "64x65"}, "size"),
        ({"size": "large"}, "size"),
        ({"quantization": "int3"}, "quantization"),
        ({"step_cache": "teacache:much"}, "step_cache"),
        ({"assign": ["Anna"]}, "assign"),
        ({"redo": True}, "redo"),
        ({"size": "64x64", "size_class": "480p"}, "size_class"),
        ({"close_ups": False, "height": 300}, "height"),
    ],
)
def test_what_makes_no_sense_is_named(values, field):
    with pytest.raises(PolytalkError) as error:
        More(**values)
    assert error.value.field == field


def test_every_knob_has_one_declaration():
    ours = {entry.name: entry.knob for entry in knobs_of(GenerateRequest)}
    for settings in (PipelineConfig, LoadOptions):
        for entry in knobs_of(settings):
            assert ours[entry.name] is entry.knob


def test_knobs_of_others_do_not_overwrite_own_fields():
    @dataclass(frozen=True)
    @takes_knobs_of(LoadOptions)
    class Own:
        compile: str = knob("fast", "Another meaning.")

    assert Own().compile == "fast"
    assert Own().offload is None
