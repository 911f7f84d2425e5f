"""What the architectures share: the form in which they name their weights, and how many scores they give."""

from __future__ import annotations

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Name and shape of each array of weights, in Keras' order."""


def outputs(n_classes: int) -> int:
    """Scores that a network gives: one for two classes, one each for more.

    Parameters
    ----------
    n_classes : int
        Number of classes.

    Returns
    -------
    int
        Number of scores of a localization.
    """
    return 1 if n_classes == 2 else n_classes
