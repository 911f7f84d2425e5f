"""A histogram with a brush: dragging over it selects a range of values."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from caml_dask.napari_plugin.bins import Bins

_HEIGHT_PX = 120
_BAR, _BRUSHED, _BRUSH = QColor(128, 156, 206), QColor(255, 150, 40), QColor(255, 150, 40, 50)


class Histogram(QWidget):
    """Bars, and the range that is brushed; a click without dragging removes the brush."""

    brushed = Signal(object)
    """(low, high) in the measure's unit when a range was dragged, None when it was removed."""

    def __init__(self) -> None:
        super().__init__()
        self._bins = Bins.of(np.zeros(0))
        self._range: tuple[float, float] | None = None
        self._from: float | None = None
        self.setMinimumHeight(_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip("Drag to select clusters by their values; click to select none")

    def show_bins(self, bins: Bins) -> None:
        """Draw a distribution, without a brush."""
        self._bins, self._range = bins, None
        self.update()

    def show_range(self, low: float, high: float) -> None:
        """Draw the brush over a range of values."""
        first, last = (float(self._bins.place(value)) for value in (low, high))
        self._range = (first, last)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw bars and brush."""
        painter = QPainter(self)
        wide, high = self.width(), self.height()
        low, top = self._range or (0.0, -1.0)
        n, most = len(self._bins.counts), max(1, int(self._bins.counts.max()))
        for k, count in enumerate(self._bins.counts.tolist()):
            if count:
                tall = max(1.0, np.sqrt(count / most) * (high - 4))
                inside = low <= (k + 0.5) / n <= top
                bar = QRectF(k * wide / n, high - tall, wide / n - 0.5, tall)
                painter.fillRect(bar, _BRUSHED if inside else _BAR)
        if self._range is not None:
            painter.fillRect(QRectF(low * wide, 0, max(1.0, (top - low) * wide), high), _BRUSH)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a brush."""
        if event.button() == Qt.MouseButton.LeftButton:
            self._from = self._at(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag it."""
        if self._from is not None:
            first, last = sorted((self._from, self._at(event)))
            self._range = (first, last)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """End it, and tell the range."""
        if self._from is None:
            return
        first, last = sorted((self._from, self._at(event)))
        self._from = None
        dragged = (last - first) * self.width() >= 2
        self._range = (first, last) if dragged else None
        self.update()
        self.brushed.emit((self._bins.value(first), self._bins.value(last)) if dragged else None)

    def _at(self, event: QMouseEvent) -> float:
        return float(np.clip(event.position().x() / max(1, self.width() - 1), 0, 1))
