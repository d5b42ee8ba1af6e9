"""Words both sides speak: types, codec, sampling, tokenizer, errors, settings. Imports neither edge nor cloud."""

import os

# Children are started while gRPC runs, and inherit nothing of it; read once, when gRPC is imported
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
