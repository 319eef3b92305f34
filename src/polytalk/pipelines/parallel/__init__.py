"""One video on many devices: tokens, guidance's predictions and weights shared out over the ranks of `torchrun`."""

from polytalk.pipelines.parallel.choice import ParallelChoice

__all__ = ["ParallelChoice"]
