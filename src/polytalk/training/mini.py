"""How mini is run when nothing else is asked for."""

from polytalk.config.pipeline import PipelineConfig

MINI = PipelineConfig(
    num_inference_steps=2,
    shift=3.0,
    timestep_spacing="trailing",
    guidance_scale=1.0,
    audio_guidance_scale=1.0,
    negative_prompt="",
    clip_frames=33,
    motion_frames=5,
    size_class="mini",
    colour_strength=0.0,
    hold_still=1.0,
    idle_motion=0.4,
    fill_condition="reference",
    keep_picture=True,
    carry_masks=True,
)
