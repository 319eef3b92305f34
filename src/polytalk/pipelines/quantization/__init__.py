"""Weights in fewer bits: converting while loading, reading files that come quantised, and what it costs."""

from polytalk.pipelines.quantization.recognize import is_quantized, plain_form, swap_layers, with_quantized_layers
from polytalk.pipelines.quantization.report import SchemeError, error_report
from polytalk.pipelines.quantization.schemes import SCHEMES, Scheme, quantize, quantizer

__all__ = [
    "SCHEMES",
    "Scheme",
    "SchemeError",
    "error_report",
    "is_quantized",
    "plain_form",
    "quantize",
    "quantizer",
    "swap_layers",
    "with_quantized_layers",
]
