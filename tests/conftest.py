"""Reads the golden files; chooses how hypothesis looks for examples."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from safetensors.torch import load_file

# "ci", the default: the same examples every time, so that a change fails for its own faults only. "nightly": others
# every night, and more where a test does not say how many; what fails is kept for the next run. Both take a busy
# machine as it is, and are built on "default": hypothesis starts from another profile where the variable CI is set.
_UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "print_blob": True}
_FOUND = DirectoryBasedExampleDatabase(Path(__file__).parents[1] / ".hypothesis" / "examples")
_DEFAULT = settings.get_profile("default")
settings.register_profile("ci", _DEFAULT, derandomize=True, database=None, **_UNHURRIED)
settings.register_profile("nightly", _DEFAULT, derandomize=False, database=_FOUND, max_examples=500, **_UNHURRIED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

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
