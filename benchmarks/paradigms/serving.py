"""The processes of the baselines: `python -m benchmarks.paradigms.serving WORD ...`. Started by `deployment.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from common.cli import make_group, run_app

app = make_group("Processes of the benchmarks' baselines.")
Listen = Annotated[str, typer.Option(help="Where to listen: HOST:PORT, or unix:PATH.")]


@app.command()
def gateway(settings: Annotated[str, typer.Argument(help="Settings of an edge daemon, as a JSON object.")]) -> None:
    """The co-located baseline's cloud side: a drafter beside the target."""
    import uvloop

    from benchmarks.paradigms.colocated.gateway import serve
    from edge.config import EdgeSettings

    uvloop.run(serve(EdgeSettings(**json.loads(settings))))


@app.command()
def agent(
    gateway: Annotated[str, typer.Option(help="Address of the gateway.")],
    listen: Listen,
    replay: Annotated[str, typer.Option(help="Profile of stage times.")] = "",
) -> None:
    """The co-located baseline's edge side: uploads, and times the answer."""
    import uvloop

    from benchmarks.paradigms.colocated.agent import serve

    uvloop.run(serve(listen, gateway, replay))


@app.command("in-process")
def in_process(
    listen: Listen,
    model: Annotated[Path | None, typer.Option(help="Folder of the target.")] = None,
    drafter: Annotated[Path | None, typer.Option(help="Folder of the drafter.")] = None,
    device: Annotated[str, typer.Option(help="Torch device.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
    threads: Annotated[int, typer.Option(help="Torch threads.")] = 1,
) -> None:
    """Both models in one process, with transformers' own generation."""
    import uvloop

    from benchmarks.paradigms.in_process.daemon import InProcessSettings, serve
    from common.shipped import shipped_drafter, shipped_target

    settings = InProcessSettings(
        model or shipped_target(), drafter or shipped_drafter(), listen, device=device, dtype=dtype, threads=threads
    )
    uvloop.run(serve(settings))


if __name__ == "__main__":
    run_app(app, "benchmarks.paradigms.serving")
