"""Options that all measuring commands share. Imports no model and no gRPC, so that help answers at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ParadigmOption = Annotated[
    list[str] | None,
    typer.Option(
        "--paradigm", metavar="NAME", help="Only this paradigm (may be given again), such as stream_to_cloud."
    ),
]
QuestionsOption = Annotated[int, typer.Option("--questions", min=1, help="How many questions, of all clips in turn.")]
RepetitionsOption = Annotated[int, typer.Option("--repetitions", min=1, help="How often each question is asked.")]
AheadRepetitionsOption = Annotated[
    int,
    typer.Option(
        "--ahead-repetitions",
        min=1,
        help="The same for paradigms that stream a clip while it is recorded: each answer takes as long as the clip.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the target's sampling.")]
TemperatureOption = Annotated[float, typer.Option("--temperature", min=0.0, help="0: the most likely token.")]
MaxTokensOption = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")]
WarmUpOption = Annotated[int, typer.Option("--warm-up", min=0, help="Questions to each paradigm before any counts.")]
ModelOption = Annotated[Path | None, typer.Option("--model", metavar="DIR", help="Target. [the shipped tiny one]")]
DrafterOption = Annotated[Path | None, typer.Option("--drafter", metavar="DIR", help="Drafter. [the shipped tiny one]")]
DeviceOption = Annotated[str, typer.Option("--device", help="Torch device of all models.")]
DtypeOption = Annotated[str, typer.Option("--dtype", help="float32, float16 or bfloat16.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Torch threads of each process.")]
ClipsOption = Annotated[
    Path | None, typer.Option("--clips", metavar="DIR", help="Folder with a clips.json. [the shipped clips]")
]
EdgeOption = Annotated[
    str,
    typer.Option(
        "--edge",
        metavar="ADDRESS",
        help="Ask an edge daemon that runs already, elsewhere; nothing is started. Link flags then say what lies "
        "between it and its cloud; they are recorded, not made.",
    ),
]
ShareEdgeOption = Annotated[
    bool, typer.Option("--share-edge", help="One edge daemon for all paradigms, for drafters that fit only once.")
]
AdapterOption = Annotated[
    str,
    typer.Option(
        "--adapter",
        metavar="DIR",
        help="Adapter from the drafter's states to the target's, for stream_to_cloud/hidden-*. [the shipped "
        "pair's; other models: none, left out]",
    ),
]
DraftFormOption = Annotated[
    str, typer.Option("--draft-form", help="What hidden-* send: hidden, int8, codes, or mirror (ids after all).")
]
ReplayOption = Annotated[
    str,
    typer.Option(
        "--replay", metavar="PROFILE", help="Pad all stages to a profile of measured times, as `replay` does."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the JSON object there too.")]
