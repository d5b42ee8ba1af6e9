"""Options of commands that ask a cloud daemon: which one, and how it is reached."""

from __future__ import annotations

from typing import Annotated

import typer

CaOption = Annotated[str, typer.Option(help="CA (PEM) of its certificate, or `system`. [no TLS]")]
CertOption = Annotated[str, typer.Option(help="A certificate of one's own, where it wants one.")]
KeyOption = Annotated[str, typer.Option(help="Its private key.")]
NameOption = Annotated[str, typer.Option(help="Host name in its certificate, if not the address's.")]
InsecureOption = Annotated[bool, typer.Option("--insecure", help="Send the token even without TLS.")]
