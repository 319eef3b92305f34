"""`python -m polytalk`, and so `torchrun --nproc-per-node N -m polytalk`, are the command line."""

from polytalk.cli.app import main

main()
