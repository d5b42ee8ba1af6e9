"""Words both sides speak: types, codec, sampling, tokenizer, errors, settings. Imports neither edge nor cloud."""

import os

# Children are started while gRPC runs, and inherit nothing of it; read once, when gRPC is imported
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Its core writes what peers say (a GOAWAY's text) to standard error as it is, past our logs and their escaping
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
