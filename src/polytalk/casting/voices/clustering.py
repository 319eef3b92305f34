"""Which embeddings are one voice: Ward's clustering, with the number of voices known or estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_POLISH = 3
"""Rounds of k-means after the tree is cut: the tree never takes a merge back."""
_MOST_POINTS = 3000
"""Embeddings that make the tree, which needs memory for every pair; the others only join."""


@dataclass(frozen=True)
class ClusterConfig:
    """When two clusters count as two voices, if their number is not known."""

    most: int = 8
    """Largest number estimated."""
    likeness: float = 0.70
    """Cosine of two voices' means, from which on they are one voice, if both are heard for `long` or more. Halves of
    one voice have 0.75 or more; different voices of one synthesiser mostly less than 0.70."""
    short_likeness: float = 0.50
    """The same if one of them is heard for `short` only: an exclamation differs from the rest of what one says."""
    short: float = 1.0
    """Seconds; nobody who is heard for less is a voice."""
    long: float = 4.0
    """Seconds."""
    hopeless: float = 0.12
    """Beyond `likeness`: no larger number is tried then."""

    def are_different(self, likeness: np.ndarray, seconds: np.ndarray) -> bool:
        """Whether all are voices of their own.

        Args:
            likeness: (voices, voices) cosines of their means.
            seconds: (voices,) for which each is heard.
        """
        shorter = np.minimum(seconds[:, None], seconds)
        share = np.clip((shorter - self.short) / (self.long - self.short), 0, 1)
        limit = self.short_likeness + share * (self.likeness - self.short_likeness)
        pairs = np.triu_indices(len(seconds), 1)
        return bool(seconds.min() >= self.short and (likeness < limit)[pairs].all())


def find_clusters(
    embeddings: np.ndarray, seconds: float, num: int | None = None, config: ClusterConfig | None = None
) -> np.ndarray:
    """Means of the voices.

    Args:
        embeddings: (n, d) of length 1, evenly spaced over the speech.
        seconds: of speech between one and the next.
        num: how many voices; None estimates it.
        config: how it is estimated.

    Returns:
        (voices, d) of length 1; fewer than `num` if there are fewer embeddings.
    """
    from scipy.cluster.hierarchy import linkage

    config = config or ClusterConfig()
    if len(embeddings) < 2 or num == 1:
        return _normed(embeddings.mean(axis=0, keepdims=True))
    every = -(-len(embeddings) // _MOST_POINTS)
    chosen = embeddings[::every]
    tree = linkage(chosen.astype(np.float64), "ward")
    if num is not None:
        return _cut(tree, chosen, embeddings, min(num, len(chosen)))[0]
    best = _normed(embeddings.mean(axis=0, keepdims=True))
    for count in range(2, min(config.most, len(chosen)) + 1):
        means, members = _cut(tree, chosen, embeddings, count)
        likeness = means @ means.T
        if config.are_different(likeness, members * seconds):
            best = means
        elif (likeness - 2 * np.eye(len(means))).max() >= config.likeness + config.hopeless:
            break
    return best


def _cut(tree: np.ndarray, chosen: np.ndarray, embeddings: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Means (count, d) of the tree cut into `count`, polished, and how many embeddings each has."""
    from scipy.cluster.hierarchy import fcluster

    labels = fcluster(tree, count, "maxclust") - 1
    means = _normed(np.stack([chosen[labels == label].mean(axis=0) for label in range(labels.max() + 1)]))
    for _ in range(_POLISH):
        nearest = (embeddings @ means.T).argmax(axis=1)
        groups = [embeddings[nearest == label] for label in range(len(means))]
        means = _normed(np.stack([g.mean(axis=0) if len(g) else m for g, m in zip(groups, means, strict=True)]))
    return means, np.bincount((embeddings @ means.T).argmax(axis=1), minlength=len(means))


def _normed(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    normed: np.ndarray = (vectors / np.maximum(length, 1e-9)).astype(np.float32)
    return normed
