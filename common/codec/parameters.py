"""How a question's answer is to be made: sampling and pace, which an asker tells its edge, and an edge its cloud."""

from __future__ import annotations

import math

from eventspec.v1 import speculation_pb2 as pb

from common.errors import MessageError
from common.types import Pace, SamplingParams

PACES = {Pace.EAGER: pb.PACE_EAGER, Pace.PATIENT: pb.PACE_PATIENT}


def sampling_to(params: SamplingParams) -> pb.SamplingParams:
    """As a message."""
    return pb.SamplingParams(temperature=params.temperature, top_k=params.top_k, top_p=params.top_p, seed=params.seed)


def sampling_from(message: pb.SamplingParams) -> SamplingParams:
    """From a message; a `top_p` that isn't there is 1. Raises MessageError: a value out of range."""
    top_p = message.top_p if message.top_p != 0.0 else 1.0
    if not (math.isfinite(message.temperature) and math.isfinite(top_p)):
        raise MessageError("sampling parameters must be finite numbers")
    try:
        return SamplingParams(message.temperature, message.top_k, top_p, message.seed)
    except ValueError as error:
        raise MessageError(str(error)) from error
