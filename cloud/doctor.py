"""What `eventspec-cloud doctor` looks at: machine, target, adapter, ports, certificates, tokens, room for sessions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cloud.config import CloudSettings
from common.doctor import Check, examined, ok, warning
from common.doctor_checks import (
    certificates,
    machine,
    memory_bytes,
    model_folder,
    open_files,
    open_to_strangers,
    revocation_list,
    token_book,
    tokenizer,
    torch_build,
)
from common.doctor_running import listening, port
from common.errors import ModelError
from common.model_config import count_of, read_config
from common.shipped import shipped_target

_TARGETS = ("VideoLlavaForConditionalGeneration",)
ASK_WITH = "give it --local-listen unix:PATH, and ask again"


def examine(settings: CloudSettings) -> Iterator[Check]:
    """All checks of a cloud, one after the other."""
    folder = Path(settings.model) if settings.model else shipped_target()
    tls = settings.security.tls
    yield from examined(
        [
            ("machine", machine),
            ("open files", partial(open_files, settings.connections)),
            ("torch", partial(torch_build, settings)),
            ("target", partial(model_folder, "target", folder, _TARGETS, settings, _read)),
            ("tokenizer", partial(tokenizer, "tokenizer", folder)),
            ("sessions", partial(_sessions, settings, folder)),
            ("adapter", partial(_adapter, settings)),
            ("listen", partial(listening, "listen", settings.listen, tls, settings.local_listen, ask_with=ASK_WITH)),
            ("metrics", partial(port, "metrics", settings.metrics)),
            ("certificate", partial(certificates, "certificate", tls)),
            ("revocation list", partial(revocation_list, settings.tls_crl, settings.tls_ca)),
            ("tokens", partial(token_book, settings.tokens)),
            ("access", partial(open_to_strangers, settings.listen, settings.tokens, settings.tls_ca)),
        ]
    )


def _read(folder: Path) -> object:
    from common.video_llava import read_target_config

    return read_target_config(folder)


def _sessions(settings: CloudSettings, folder: Path) -> Iterator[Check]:
    """Keys and values are taken at the start, for all sessions."""
    config = read_config(folder)
    text = config.get("text_config", config)
    if not isinstance(text, dict):
        raise ModelError(f"text_config in {folder}/config.json is no object: download it again")
    all_heads = count_of(text, "num_attention_heads", 32)
    heads = count_of(text, "num_key_value_heads", all_heads)
    size = count_of(text, "head_dim", count_of(text, "hidden_size", 4096) // all_heads)
    tokens = settings.capacity or 8 * 257 + settings.max_prompt_tokens + settings.max_answer_tokens
    width = 4 if settings.dtype == "float32" else 2
    need = 2 * count_of(text, "num_hidden_layers", 32) * heads * size * width * tokens * settings.sessions
    found = f"{settings.sessions} of up to {tokens:,} tokens: up to {need / 2**30:.2f} GiB of keys and values"
    if settings.device == "cpu" and need > 0.8 * memory_bytes():
        yield warning("sessions", found, "fewer --sessions, a smaller --capacity, or --dtype float16")
    else:
        yield ok("sessions", found)


def _adapter(settings: CloudSettings) -> Iterator[Check]:
    if settings.adapter:
        from common.adapters import load_adapter

        loaded = load_adapter(settings.adapter, dtype=settings.dtype, device="cpu")
        yield ok("adapter", f"{settings.adapter} ({type(loaded.adapter).__name__})")
