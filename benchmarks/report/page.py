"""Writes the page: one HTML file with all pictures inside, and pictures as PNG files."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined

from benchmarks.report.blocks import Contents, Picture
from benchmarks.report.pictures.style import RC, add_foot, as_png, as_svg
from benchmarks.report.wording import PARADIGMS

Progress = Callable[[str], None]


def write_report(
    contents: Contents, out: Path, png: Path | None = None, progress: Progress = lambda text: None
) -> None:
    """Draw everything and write it; the HTML file appears whole or not at all.

    Raises:
        OSError: a file can't be written.
    """
    drawn: dict[str, str] = {}
    if png is not None:
        png.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(RC):
        for picture in contents.pictures:
            progress(picture.name)
            drawn[picture.name] = _drawn(picture, png)
    part = out.with_suffix(out.suffix + ".part")
    part.write_text(render(contents, drawn), encoding="utf-8")
    part.replace(out)


def _drawn(picture: Picture, png: Path | None) -> str:
    """The picture as the address of an image that holds it."""
    figure = picture.draw()
    add_foot(figure, picture.foot, f"replayed: {picture.replayed}" if picture.replayed else "")
    if png is not None:
        (png / f"{picture.name}.png").write_bytes(as_png(figure))
    return "data:image/svg+xml;base64," + base64.b64encode(as_svg(figure)).decode("ascii")


def render(contents: Contents, drawn: dict[str, str]) -> str:
    """The HTML text; `drawn` maps pictures' names to image addresses. Everything from results is escaped."""
    environment = Environment(
        loader=PackageLoader("benchmarks.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["kind"] = _is_kind
    template = environment.get_template("report.html")
    return template.render(contents=contents, drawn=drawn, paradigms=PARADIGMS)


def _is_kind(block: Any, name: str) -> bool:
    return type(block).__name__ == name
