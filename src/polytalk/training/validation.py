"""How good is a network that is still learning? The figures of binding on scenes kept for this alone."""

from __future__ import annotations

from polytalk.assets import model_folder
from polytalk.config.index import ModelIndex
from polytalk.evaluation.reports.binding import evaluate_binding
from polytalk.evaluation.scenes.generating import pipeline_generator
from polytalk.evaluation.scenes.held_out import held_out_clips
from polytalk.pipeline.components.mini import MiniComponents
from polytalk.pipeline.multitalk import MultiTalkPipeline
from polytalk.synthetic.seeds import SEEDS


def validation_figures(components: MiniComponents, scenes: int) -> dict[str, float]:
    """The measures of `polytalk evaluate binding` on a few scenes of one and of two people; not of its own scenes."""
    generate = pipeline_generator(MultiTalkPipeline(components, ModelIndex.read(model_folder("mini")).config))
    figures = {}
    for people in (1, 2):
        clips = held_out_clips(scenes, people=people, first_seed=SEEDS["validation"].start)
        report = evaluate_binding(generate, clips, swap=False)
        for name in ("own", "other", "diagonal"):
            figures[f"{name}_{people}"] = getattr(report, name)
    return {name: value for name, value in figures.items() if value == value}
