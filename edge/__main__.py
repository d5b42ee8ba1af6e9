"""`eventspec-edge`: start the edge daemon, ask it questions, look at event files. `python -m edge` is the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from common.cli import make_app, run_app
from common.daemon_options import (
    DeviceOption,
    DtypeOption,
    LogFormatOption,
    MetricsOption,
    OtelOption,
    QuantizeOption,
    ReplayOption,
    ThreadsOption,
    TlsCrlOption,
    TlsKeyOption,
    VerboseOption,
)
from common.doctor_cli import doctor_command
from common.extras import EDGE, need
from common.logs import set_up
from edge import doctor_cli
from edge.asking_cli import ask, status, watch
from edge.events_cli import app as events_app

app = make_app("The edge side of eventspec: reads events and video, drafts answers, streams them to the cloud.")
app.add_typer(events_app, name="events")


@app.command()
def serve(
    cloud: Annotated[
        str | None,
        typer.Option(
            help="Address of the cloud daemon, HOST:PORT; several, with commas, take turns. [127.0.0.1:50051]"
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(help="Where `ask` finds this daemon; keep it on loopback. [127.0.0.1:50052]"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of an EventGPT checkpoint. [the shipped tiny drafter]")
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    quantize: QuantizeOption = None,
    threads: ThreadsOption = None,
    max_ahead: Annotated[
        int | None, typer.Option(help="How many tokens the drafter may be ahead of the cloud. [16]")
    ] = None,
    branches: Annotated[
        int | None,
        typer.Option(
            help="Other words at a place that a drafter with nothing else to do goes on from, at most; 0: none. "
            "-1: 3, but 0 if it runs on the CPU. [-1]"
        ),
    ] = None,
    spool: Annotated[
        str | None,
        typer.Option(help="Folder for answers in progress, which then go on after a restart of this daemon. [none]"),
    ] = None,
    give_up_after_s: Annotated[
        float | None, typer.Option(help="Seconds without a link before the edge finishes alone. [10]")
    ] = None,
    vision_model: Annotated[
        str | None,
        typer.Option(
            help="The target's folder, for --mode edge_vision and --draft-form mirror. "
            "[the tiny target beside the tiny drafter]"
        ),
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Adapter from the drafter's states to the target's, a folder or a shipped one's name (tiny-L5F); see "
            "--draft-form. [none]"
        ),
    ] = None,
    live_kbps: Annotated[
        int | None, typer.Option(help="Most kilobits a second that a live stream's H.264 may take. [2000]")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Option(
            help="Folder whose files askers may name, links resolved; may be given several times. [all that this "
            "daemon can read, where --listen is loopback or a unix socket; else none]",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    live_hosts: Annotated[
        str | None,
        typer.Option(
            help="Hosts that live addresses may name: private, public, loopback, link-local, none, addresses, "
            "networks, names. [loopback,private,public for a daemon that only this machine reaches; else none]"
        ),
    ] = None,
    live_redirects: Annotated[
        bool | None,
        typer.Option(
            "--live-redirects", help="Follow HTTP redirects to the same host, and to hosts that --live-hosts names."
        ),
    ] = None,
    draft_form: Annotated[
        str | None,
        typer.Option(
            help="What drafts carry: ids, hidden (states, half precision), int8 (states, bytes), codes (a split "
            "adapter's waist, bytes), mirror (ids that adapter and target's head choose here), auto (ids or states, "
            "whichever pays on this link). [ids]"
        ),
    ] = None,
    distill: Annotated[
        str | None,
        typer.Option(
            help="Let the adapter (of --draft-form mirror) learn from commits while nobody asks, and keep what it "
            "learns in this folder. Answers stay the target's. [off]"
        ),
    ] = None,
    target_tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Folder with the target's tokenizer.json, for a drafter that has another vocabulary. "
            "[that of --vision-model]"
        ),
    ] = None,
    across: Annotated[
        str | None,
        typer.Option(
            help="How drafts get into the target's vocabulary: text (what the drafter says is spelled anew) or pieces "
            "(it says only pieces that both have). [text]"
        ),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="Certificate of --listen (PEM, chain behind it); followed when it changes.")
    ] = None,
    tls_key: TlsKeyOption = None,
    tls_ca: Annotated[
        str | None, typer.Option(help="CA (PEM) that askers must have a certificate of: mutual TLS. [none]")
    ] = None,
    tls_crl: TlsCrlOption = None,
    tokens: Annotated[
        str | None, typer.Option(help="File of tokens that askers must have one of (scopes ask, files). [none]")
    ] = None,
    cloud_ca: Annotated[
        str | None, typer.Option(help="CA (PEM) of the cloud's certificate, or `system`: TLS to the cloud. [no TLS]")
    ] = None,
    cloud_cert: Annotated[
        str | None, typer.Option(help="This edge's own certificate (PEM), where the cloud wants one. [none]")
    ] = None,
    cloud_key: Annotated[str | None, typer.Option(help="Its private key (PEM, no passphrase).")] = None,
    cloud_name: Annotated[
        str | None, typer.Option(help="Host name in the cloud's certificate, if not the address's.")
    ] = None,
    token_file: Annotated[
        str | None, typer.Option(help="File with this edge's token for the cloud; followed when it changes. [none]")
    ] = None,
    insecure: Annotated[
        bool | None,
        typer.Option("--insecure", help="Listen beyond this machine, and send the token, even without TLS."),
    ] = None,
    metrics: MetricsOption = None,
    log_format: LogFormatOption = None,
    otel: OtelOption = None,
    replay: ReplayOption = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with an [edge] table; flags and environment override it.")
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Start the daemon. Settings: a TOML file, then EVENTSPEC_EDGE_... variables, then flags.

    Prints "eventspec-edge ready on HOST:PORT" when it takes questions. Ctrl-C, SIGTERM or SIGHUP ends it gracefully.
    """
    flags: dict[str, Any] = dict(locals())
    flags.pop("config"), flags.pop("verbose")
    from common.settings import load_settings
    from edge.config import EdgeSettings

    settings = load_settings(EdgeSettings, "edge", file=config, environment=os.environ, flags=flags)
    set_up(settings.log_format, verbose=verbose)
    need(EDGE, "eventspec-edge")
    import uvloop

    from common.ending import end_process
    from edge.daemon import serve as run

    uvloop.run(run(settings))
    end_process()


app.command("doctor")(doctor_command(serve, "edge", doctor_cli.load, doctor_cli.HELP))
app.command()(ask)
app.command()(watch)
app.command()(status)


def main() -> None:
    """Entry point."""
    run_app(app, "eventspec-edge")


if __name__ == "__main__":
    main()
