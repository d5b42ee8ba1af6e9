"""One thread for torch: the models are small, and threads that wait for each other cost more than they bring."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
