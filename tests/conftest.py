"""One thread for torch: the models are small, and threads that wait for each other cost more than they bring."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a job in the background: Ctrl-C must still be testable
    signal.signal(signal.SIGINT, signal.default_int_handler)
