"""The number format is decided by the processor's flags, the same every time."""

import time

import pytest
import torch

from polytalk.acceleration.precision import BFLOAT16_FLAGS, choose_device, choose_dtype
from polytalk.errors import PolytalkError
from polytalk.models import library_internals

CPU = torch.device("cpu")


@pytest.fixture
def processor(tmp_path, monkeypatch):
    """A processor with these flags and no others."""

    def has(*flags, title="flags"):
        path = tmp_path / "cpuinfo"
        path.write_text(f"model name : somebody's\n{title} : fpu avx2 {' '.join(flags)} sse\n")
        monkeypatch.setattr(library_internals, "CPU_INFO", path)
        if hasattr(torch.cpu, "get_capabilities"):
            monkeypatch.setattr(torch.cpu, "get_capabilities", dict)

    return has


@pytest.mark.parametrize("flag", BFLOAT16_FLAGS)
def test_processors_with_products_in_bfloat16_use_it(processor, flag):
    processor(flag)
    assert choose_dtype(None, CPU) is torch.bfloat16


@pytest.mark.parametrize("flags", [(), ("avx512f",), ("amx_bf16x",), ("amx_int8",)])
def test_others_do_not(processor, flags):
    processor(*flags)
    assert choose_dtype(None, CPU) is torch.float32


def test_no_stopwatch_is_held(processor, monkeypatch):
    processor("amx_bf16")

    def asked():
        raise AssertionError("the time was asked for")

    for clock in ("perf_counter", "monotonic", "time", "process_time"):
        monkeypatch.setattr(time, clock, asked)
    assert {choose_dtype(None, CPU) for _ in range(20)} == {torch.bfloat16}


def test_a_format_that_is_asked_for_is_taken(processor):
    processor("amx_bf16")
    assert choose_dtype("float32", CPU) is torch.float32
    with pytest.raises(PolytalkError, match="dtype"):
        choose_dtype("float8", CPU)


def test_devices_that_are_not_there_are_refused():
    assert choose_device("cpu") == CPU
    for name in ("moon", "cuda:99", "xpu"):
        with pytest.raises(PolytalkError) as error:
            choose_device(name)
        assert error.value.field == "device"
