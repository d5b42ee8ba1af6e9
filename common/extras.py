"""Packages that only some commands need: which extra of this project brings them, said in one line when they miss."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from common.errors import SettingsError

EDGE = ("torch", "transformers", "tokenizers", "safetensors", "PIL", "av", "h5py")
CLOUD = ("torch", "transformers", "tokenizers", "safetensors", "PIL", "av", "zmq", "msgpack")
_EXTRAS = {
    "eventspec-edge": "edge",
    "eventspec-cloud": "cloud",
    "eventspec-bench": "bench",
    "eventspec-train": "train",
}


def need(modules: Iterable[str], command: str) -> None:
    """Raise SettingsError, naming the extra, unless all `modules` can be imported; none is imported by this."""
    for module in modules:
        if find_spec(module) is None:
            raise SettingsError(missing(module, command))


def missing(module: str, command: str) -> str:
    """What to say where `module` isn't there, to who called `command`."""
    extra = _EXTRAS.get(command, "edge")
    return (
        f"this needs the Python package {module}, which isn't installed: install eventspec with its extra `{extra}`, "
        f"for example pip install 'eventspec[{extra}]'"
    )
