"""`eventspec-cloud`: start the cloud daemon, ask one how it is. `python -m cloud` is the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud import doctor_cli
from cloud.config import CloudSettings
from cloud.drain_cli import drain
from cloud.reach_options import CaOption, CertOption, InsecureOption, KeyOption, NameOption
from cloud.security_cli import certs_app, token_app
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
from common.extras import CLOUD, need
from common.logs import set_up
from common.settings import load_settings

app = make_app("The cloud side of eventspec: runs the target, verifies the drafts of many edges, commits the answer.")
app.add_typer(token_app, name="token")
app.add_typer(certs_app, name="certs")
app.command()(drain)


@app.command()
def serve(
    listen: Annotated[
        str | None,
        typer.Option(help="Address to listen on, HOST:PORT; port 0 is any free one. [127.0.0.1:50051]"),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder of a Video-LLaVA checkpoint. [the shipped tiny target]")
    ] = None,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    quantize: QuantizeOption = None,
    threads: ThreadsOption = None,
    sessions: Annotated[
        int | None, typer.Option(help="Sessions at a time; their KV memory is taken at the start. [8]")
    ] = None,
    sessions_per_client: Annotated[
        int | None,
        typer.Option(help="Sessions of one principal or host; 0: those known by name leave a fifth to others. [0]"),
    ] = None,
    capacity: Annotated[
        int | None, typer.Option(help="Tokens a session can hold; 0: what the limits need. [0]")
    ] = None,
    prompt_chunk: Annotated[
        int | None,
        typer.Option(help="Prompt tokens a step; a running answer waits for one chunk at most. [512]"),
    ] = None,
    max_prompt_tokens: Annotated[int | None, typer.Option(help="Longest prompt, video excluded. [512]")] = None,
    max_answer_tokens: Annotated[int | None, typer.Option(help="Longest answer. [512]")] = None,
    max_draft: Annotated[int | None, typer.Option(help="Draft tokens verified in one pass. [16]")] = None,
    max_video_bytes: Annotated[int | None, typer.Option(help="Largest video. [268435456]")] = None,
    resume_ttl_s: Annotated[
        float | None, typer.Option(help="Seconds that a lost session is kept for its edge to come back. [60]")
    ] = None,
    clip_ttl_s: Annotated[
        float | None, typer.Option(help="Seconds that a video without questions is kept in memory. [120]")
    ] = None,
    max_window_frames: Annotated[
        int | None, typer.Option(help="Pictures that a live stream's window may have. [64]")
    ] = None,
    max_window_bytes: Annotated[
        int | None, typer.Option(help="Memory for features of all live windows together. [536870912]")
    ] = None,
    step_timeout_s: Annotated[
        float | None,
        typer.Option(
            help="Longest step, in seconds; an engine that takes longer is killed and restarted; 0: any. [60]"
        ),
    ] = None,
    grace_s: Annotated[
        float | None, typer.Option(help="Seconds that running answers get to end at shutdown. [2]")
    ] = None,
    adapter: Annotated[
        str | None,
        typer.Option(
            help="Adapter that the hidden states of drafters go through, a folder or a shipped one's name (tiny-L5F); "
            "edges need the same. [none]"
        ),
    ] = None,
    tls_cert: Annotated[
        str | None, typer.Option(help="This daemon's certificate (PEM, chain behind it); followed when it changes.")
    ] = None,
    tls_key: TlsKeyOption = None,
    tls_ca: Annotated[
        str | None, typer.Option(help="CA (PEM) that edges must have a certificate of: mutual TLS. [none]")
    ] = None,
    tls_crl: TlsCrlOption = None,
    tokens: Annotated[
        str | None,
        typer.Option(help="File of tokens that edges must have one of; see `eventspec-cloud token new`. [none]"),
    ] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Listen beyond this machine without TLS: a trusted network only.")
    ] = None,
    local_listen: Annotated[
        str | None, typer.Option(help="A second address, unix:PATH, never TLS: health checks on this machine. [none]")
    ] = None,
    metrics: MetricsOption = None,
    log_format: LogFormatOption = None,
    otel: OtelOption = None,
    replay: ReplayOption = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with a [cloud] table; flags and environment override it.")
    ] = None,
    verbose: VerboseOption = False,
) -> None:
    """Start the daemon. Settings: a TOML file, then EVENTSPEC_CLOUD_... variables, then flags.

    Prints "eventspec-cloud ready on HOST:PORT" when edges may connect. Ctrl-C, SIGTERM or SIGHUP ends it gracefully.
    """
    flags: dict[str, Any] = dict(locals())
    flags.pop("config"), flags.pop("verbose")
    settings = load_settings(CloudSettings, "cloud", file=config, environment=os.environ, flags=flags)
    set_up(settings.log_format, verbose=verbose)
    need(CLOUD, "eventspec-cloud")
    import uvloop

    from cloud.daemon import serve as run
    from common.ending import end_process

    uvloop.run(run(settings))
    end_process()


app.command("doctor")(doctor_command(serve, "cloud", doctor_cli.load, doctor_cli.HELP))


@app.command()
def info(
    address: Annotated[str, typer.Argument(help="HOST:PORT of a cloud daemon.")] = "127.0.0.1:50051",
    ca: CaOption = "",
    cert: CertOption = "",
    key: KeyOption = "",
    name: NameOption = "",
    token_file: Annotated[str, typer.Option(help="File with a token of scope info, where it wants one.")] = "",
    insecure: InsecureOption = False,
) -> None:
    """Ask a cloud daemon what it runs and what its limits are; prints JSON."""
    import dataclasses
    import json

    from common import codec
    from common.errors import LinkError, NotReadyError
    from common.reach import Reaching
    from common.rpc import ask_once
    from common.security import Reach

    reach = Reach(ca, cert, key, name, token_file, insecure)
    reach.check(address)
    reaching = Reaching(reach)
    with reaching.channel(address, []) as channel:
        request = codec.encode_info_request()
        try:
            reply = ask_once(channel, f"/{codec.SERVICE}/GetInfo", request, metadata=reaching.metadata(), timeout=5.0)
        except LinkError as error:
            if isinstance(error, NotReadyError) or "certificate" in str(error):
                raise
            raise LinkError(
                f"no cloud daemon answers at {address}: start one with `eventspec-cloud serve` "
                "(one that speaks TLS wants --ca)"
            ) from error
    typer.echo(json.dumps(dataclasses.asdict(codec.decode_info(reply)), indent=1))


def main() -> None:
    """Entry point."""
    run_app(app, "eventspec-cloud")


if __name__ == "__main__":
    main()
