"""Where the real recordings are, for tests that need them."""

import os
from pathlib import Path

import pytest

_BESIDE_REPOSITORY = Path(__file__).parents[4] / "shared" / "data"


def recording(name: str) -> Path:
    """Path of a real recording or clip; skips the test if it isn't here."""
    path = Path(os.environ.get("EVENTSPEC_TEST_DATA", _BESIDE_REPOSITORY)) / name
    if not path.exists():
        pytest.skip(f"{name} is not here: set EVENTSPEC_TEST_DATA to the folder of real recordings")
    return path
