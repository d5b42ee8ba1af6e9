"""EventGPT, the drafter's model: five event frames and a prompt in, logits out.

The model is imported on first use, so that configuration and prompt stay free of torch.
"""

from typing import TYPE_CHECKING, Any

from edge.eventgpt.config import EventGPTConfig
from edge.eventgpt.prompt import EVENT_PLACEHOLDER, build_prompt, prompt_ids

if TYPE_CHECKING:
    from edge.eventgpt.model import EventGPT

__all__ = ["EVENT_PLACEHOLDER", "EventGPT", "EventGPTConfig", "build_prompt", "prompt_ids"]


def __getattr__(name: str) -> Any:
    """Import the torch part of the package when it is first asked for."""
    if name == "EventGPT":
        from edge.eventgpt.model import EventGPT

        return EventGPT
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
