"""Small tokenizers built in memory."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

SPECIAL = ("<unk>", "<s>", "</s>")
WORDS = ("▁", "a", "b", "s", "▁a", "ab", "▁ab", "▁as", "é", "你", ":", "\n", "?", "▁U")
MERGES = [("▁", "a"), ("a", "b"), ("▁", "ab"), ("▁a", "s")]


def llama_like(added: tuple[str, ...] = (), words: tuple[str, ...] = WORDS) -> Tokenizer:
    """Llama's kind in small: special tokens, bytes, pieces with `▁` for a space; then what is `added`."""
    pieces = [*SPECIAL, *(f"<0x{value:02X}>" for value in range(256)), *words]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=MERGES, unk_token="<unk>", byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (*SPECIAL, *added)])
    return tokenizer
