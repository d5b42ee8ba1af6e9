"""Options that `serve` of either side has; each daemon's own are beside its command."""

from __future__ import annotations

from typing import Annotated

import typer

DeviceOption = Annotated[str | None, typer.Option(help="Torch device, such as cpu or cuda:0. [cpu]")]
DtypeOption = Annotated[str | None, typer.Option(help="float32, float16 or bfloat16. [float32]")]
QuantizeOption = Annotated[str | None, typer.Option(help="none, 4bit (NF4) or 8bit, through bitsandbytes. [none]")]
ThreadsOption = Annotated[int | None, typer.Option(help="Torch threads; 0: half of the cores. [0]")]
TlsCrlOption = Annotated[
    str | None,
    typer.Option(help="Revoked client certificates (CRL of --tls-ca, PEM); followed when it changes. [none]"),
]
TlsKeyOption = Annotated[str | None, typer.Option(help="Its private key (PEM, no passphrase).")]
MetricsOption = Annotated[
    str | None, typer.Option(help="Serve Prometheus metrics over HTTP on HOST:PORT; port 0 is any free one. [off]")
]
LogFormatOption = Annotated[str | None, typer.Option(help="text, or json: one object a line, with session ids. [text]")]
OtelOption = Annotated[
    str | None,
    typer.Option(
        help="OpenTelemetry collector for spans, OTLP over gRPC: http://HOST:4317. Needs the extra otel. [off]"
    ),
]
ReplayOption = Annotated[
    str | None,
    typer.Option(help="Pad all stages to a profile of measured times: a name such as 7b-4bit-24gb, or a file. [off]"),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")]
