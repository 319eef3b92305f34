"""A folder that keeps what has been made of a video, so that it can be taken up again."""

from polytalk.pipelines.work.folder import WorkFolder, WorkRun
from polytalk.pipelines.work.inputs import Inputs

__all__ = ["Inputs", "WorkFolder", "WorkRun"]
