"""Figures of matplotlib, which the extra ``report`` brings."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from hybridopt.toolbox.extras import demand, lacking

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def drawable() -> bool:
    """Whether there can be figures here."""
    return "matplotlib" not in lacking("report")


def new_figure(**settings: Any) -> Figure:
    """An empty figure, which no window shows.

    The first one on a machine lets matplotlib list the fonts, which it would tell of.

    Args:
        settings: of ``matplotlib.figure.Figure``.

    Raises:
        ConfigError: there is no matplotlib.
    """
    if not drawable():
        demand("report", "A figure")
    fonts = logging.getLogger("matplotlib.font_manager")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        from matplotlib.figure import Figure
    finally:
        fonts.setLevel(level)
    return Figure(**settings)
