"""Fails if the checked-in code of the contract isn't what its .proto files generate. `make check` runs it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc


def main() -> int:
    """0 if nothing differs."""
    root = Path("proto")
    sources = sorted(str(p) for p in root.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        outputs = [f"--{kind}_out={folder}" for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", f"-I{root}", *outputs, *sources]) != 0:
            return 1
        generated = {p.relative_to(folder): p.read_bytes() for p in Path(folder).rglob("*.py*")}
    checked_in = {p.relative_to(root): p.read_bytes() for p in root.rglob("*_pb2*.py*") if "__pycache__" not in p.parts}
    different = sorted(
        str(name) for name in generated.keys() | checked_in.keys() if generated.get(name) != checked_in.get(name)
    )
    if different:
        print(f"generated code differs from the .proto files: {', '.join(different)}; run `make proto`")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
