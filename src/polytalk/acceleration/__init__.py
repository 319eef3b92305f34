"""How memory, time and many processes are traded: offload, streaming, LoRA, caches, fewer bits, and sharing out."""
