"""A folder that keeps what has been made of a video, so that it can be taken up again."""

from polytalk.pipeline.resume.folder import WorkFolder, WorkRun
from polytalk.pipeline.resume.inputs import Inputs

__all__ = ["Inputs", "WorkFolder", "WorkRun"]
