"""One video on many devices: tokens, guidance's predictions and weights shared out over the ranks of `torchrun`.

Under `torchrun --nproc-per-node N -m polytalk generate ...` every process runs the same program on its own device;
rank 0 encodes, decodes, writes and shows progress. `choice` and `launch` are light; the rest is imported where used.
"""

from polytalk.pipelines.parallel.choice import ParallelChoice
from polytalk.pipelines.parallel.launch import agree, is_main_process, join, leave, num_processes

__all__ = ["ParallelChoice", "agree", "is_main_process", "join", "leave", "num_processes"]
