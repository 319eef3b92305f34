"""One video on many devices: tokens, guidance's predictions and weights shared out over the ranks of `torchrun`.

    torchrun --nproc-per-node 4 -m polytalk generate --model Wan2.1-I2V-14B-480P ... -o talk.mp4
    torchrun --nproc-per-node 8 -m polytalk generate ... --parallel ulysses=4,guidance=2,fsdp

Every process runs the same program on its own device. Rank 0 runs picture, speech and video encoders and the decoder,
sends the results to the others, writes the file and shows progress. In a program of your own, on every rank:

    options = LoadOptions(parallel=ParallelChoice(ulysses=4))
    pipe = MultiTalkPipeline.from_pretrained("Wan2.1-I2V-14B-480P", options=options)

What to choose: `ulysses` first, whose degree divides the heads (40 in the released model); `guidance` where more than
one prediction is needed a step and processes are left over; `ring` where heads do not suffice; `fsdp` on top where the
weights do not fit one device. A number of tokens that the ranks do not divide is shared unevenly (not under `compile`,
nor by ring and ulysses together).
"""

from polytalk.acceleration.parallel.launch import agree, is_main_process, join, leave, num_processes
from polytalk.config.options import ParallelChoice

__all__ = ["ParallelChoice", "agree", "is_main_process", "join", "leave", "num_processes"]
