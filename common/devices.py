"""Where models run."""

import torch

from common.errors import SettingsError
from common.model_config import one_line


def as_device(device: torch.device | str) -> torch.device:
    """The torch device of that name.

    Raises:
        SettingsError: there is no such device here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # there is memory there, and what is written can be read
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        raise SettingsError(f"device {device} can't be used here ({one_line(error)}): try cpu") from error
    return found
