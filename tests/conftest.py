"""Puts this folder on the path, so that tests share helpers such as `tiny_model`; reads the golden files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

GOLDEN = Path(__file__).parent / "golden"


class Golden:
    """Inputs and outputs of the authors' released code. Tolerance: 1e-4 of the largest output."""

    folder = GOLDEN

    def __getitem__(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors of one file; those stored as bfloat16 are exact and come as float32."""
        tensors = load_file(GOLDEN / f"{name}.safetensors")
        return {k: v.float() if v.dtype == torch.bfloat16 else v for k, v in tensors.items()}

    @staticmethod
    def assert_close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-4) -> None:
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


def weights(tensors: dict[str, torch.Tensor], prefix: str = "w.") -> dict[str, torch.Tensor]:
    """The entries below `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
