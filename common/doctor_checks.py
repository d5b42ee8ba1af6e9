"""What `doctor` looks at on either side: machine, torch, model folders, certificates, tokens, ports, extras."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from common import descriptors
from common.doctor import Check, failure, ok, warning
from common.errors import SettingsError
from common.model_config import read_config
from common.security import SYSTEM, TlsFiles
from common.settings import ModelSettings
from common.watched_file import readable_by_others
from common.weight_files import look_at_weights

_SOON_DAYS = 30
_NO_CUDA = "install the driver and a CUDA build of torch, name a GPU that is there, or --device cpu"
_GIB = 1 << 30
_BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
_QUANTIZED = {"8bit": 1.0, "4bit": 0.55}


def machine() -> Iterator[Check]:
    """Cores and memory."""
    cores = len(os.sched_getaffinity(0))
    found = f"{cores} cores, {memory_bytes() / _GIB:.1f} GiB of memory, Python {platform.python_version()}"
    if cores < 2:
        yield warning("machine", found, "one core does models and network in turns: give it two")
    else:
        yield ok("machine", found)


def open_files(connections: int = 1_024) -> Iterator[Check]:
    """Whether the limit of open files, which a daemon raises by itself, is enough for its connections."""
    soft, hard = descriptors.limits()
    found = f"{soft:,}, which a daemon raises to {min(hard, descriptors.WANTED):,}" if soft < hard else f"{soft:,}"
    if hard < descriptors.needed(connections):
        need = f"{connections:,} connections need {descriptors.needed(connections):,}"
        yield warning("open files", f"{found}; {need}", "raise it: LimitNOFILE= of a service, --ulimit of a container")
    else:
        yield ok("open files", found)


def memory_bytes() -> int:
    """Of this machine, or what the container may take if that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):
        return total
    return min(total, limit)


def torch_build(settings: ModelSettings) -> Iterator[Check]:
    """The torch that is installed, whether it has the device, and bitsandbytes if it is needed."""
    try:
        import torch

        from common.devices import as_device
    except ImportError as error:
        yield failure("torch", f"can't be imported: {error}", "pip install 'eventspec[edge]' or 'eventspec[cloud]'")
        return
    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    found = f"{torch.__version__} ({build} build), {settings.torch_threads} threads"
    try:
        device = as_device(settings.device)
    except SettingsError as error:
        yield failure("torch", f"{found}: {error}", _NO_CUDA if settings.device.startswith("cuda") else "--device cpu")
        return
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        yield ok("torch", f"{found}; {name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free")
    elif device.type == "cpu" and (Path("/dev/nvidia0").exists() or shutil.which("nvidia-smi")):
        yield warning(
            "torch", found, "there is an NVIDIA GPU here that isn't used: --device cuda, with a CUDA build of torch"
        )
    else:
        yield ok("torch", found)
    if settings.quantization is not None:
        version = version_of("bitsandbytes")
        if version:
            yield ok("bitsandbytes", version)
        else:
            yield failure(
                "bitsandbytes", "isn't installed", f"pip install bitsandbytes, or drop --quantize {settings.quantize}"
            )


def model_folder(
    name: str,
    folder: Path,
    architectures: Sequence[str],
    settings: ModelSettings,
    read: Callable[[Path], object] = read_config,
) -> Iterator[Check]:
    """A checkpoint: its files, its kind, whether its weights are whole, and whether they fit into memory.

    `read` takes its configuration in as the daemon will, and raises ModelError.

    Raises:
        ModelError: a file is missing, can't be read, is truncated or holds something else.
    """
    kinds = read_config(folder).get("architectures") or []
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        yield failure(name, f"architectures in {folder}/config.json is no list of names", "download it again")
        return
    if kinds and not set(kinds) & set(architectures):
        shown = ", ".join(kinds)[:80]
        yield failure(name, f"{folder} is a {shown}", f"it must be a {' or '.join(architectures)}")
        return
    read(folder)
    files = look_at_weights(folder)
    size = sum(file.stat().st_size for file in files)
    found = f"{folder.resolve().name}: {len(files)} files of weights, {size / _GIB:.2f} GiB"
    need = size * _QUANTIZED.get(settings.quantize, _BYTES[settings.dtype] / 2.0) if size > _GIB else size
    if settings.device == "cpu" and need > 0.9 * memory_bytes():
        yield warning(
            name,
            f"{found}, about {need / _GIB:.0f} GiB in memory",
            "--dtype float16 or --quantize 4bit, or more memory",
        )
    else:
        yield ok(name, found)


def tokenizer(name: str, folder: Path) -> Iterator[Check]:
    """A model's tokenizer. Raises ModelError."""
    from common.tokenizer import Tokenizer

    found = Tokenizer.from_folder(folder)
    yield ok(name, f"{found.vocab_size:,} pieces, hash {found.hash[:12]}; the other side needs the same, or to know it")


def certificates(name: str, files: TlsFiles) -> Iterator[Check]:
    """That the files fit together, and how long they hold."""
    from cryptography import x509

    from common.tls import load

    if not files.cert and not files.ca:
        return
    load(files)
    if files.key and readable_by_others(Path(files.key)):
        yield warning(f"{name} key", f"{files.key} can be read by everybody", f"chmod 600 {files.key}")
    for path in (files.cert, files.ca):
        if not path or path == SYSTEM:
            continue
        days = min(
            (one.not_valid_after_utc - datetime.now(UTC)).days
            for one in x509.load_pem_x509_certificates(Path(path).read_bytes())
        )
        found = f"{path}: valid for {days} more days"
        yield ok(name, found) if days > _SOON_DAYS else warning(name, found, "renew it; daemons follow the file")


def revocation_list(path: str, ca: str) -> Iterator[Check]:
    """The list of client certificates that were taken back."""
    from common.revocation import read_lists
    from common.watched_file import WatchedFile

    if path:
        lists = read_lists(WatchedFile(Path(path)).read_text(), path, ca)
        revoked = sum(len(serials) for serials in lists.values())
        yield ok("revocation list", f"{path}: {revoked} certificates revoked, {len(lists)} authorities")


def token_book(path: str) -> Iterator[Check]:
    """A file of tokens that clients must have one of."""
    from common.access import parse_tokens
    from common.watched_file import WatchedFile

    if not path:
        return
    entries = parse_tokens(WatchedFile(Path(path)).read_text(), path)
    valid = [entry for entry in entries if entry.valid_at(datetime.now(UTC))]
    found = f"{path}: {len(valid)} of {len(entries)} tokens are valid"
    if valid:
        yield ok("tokens", found)
    else:
        yield warning("tokens", f"{found}: nobody can come in", f"eventspec-cloud token new NAME --file {path}")


def packages(wanted: Sequence[tuple[str, str]]) -> Iterator[Check]:
    """Optional packages, and what each is for."""
    for package, purpose in wanted:
        version = version_of(package)
        yield (
            ok(package, version)
            if version
            else warning(package, f"isn't installed: {purpose}", f"pip install {package}")
        )


def version_of(package: str) -> str:
    """The version that is installed; empty: none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def open_to_strangers(listen: str, tokens: str, ca: str) -> Iterator[Check]:
    """Whether anybody may use a daemon that others reach."""
    from common.security import is_local

    if not is_local(listen) and not tokens and not ca:
        yield warning("access", f"whoever reaches {listen} may use this daemon", "close it with --tokens or --tls-ca")
