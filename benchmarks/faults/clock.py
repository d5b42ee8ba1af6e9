"""Wall clocks that jump: a small shim before the C library adds an offset to CLOCK_REALTIME, and to nothing else.

The machine's own clock stays as it is. The offset lies in a file that every process with the shim has mapped.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long long *offset_ns;
static int (*real_gettime)(clockid_t, struct timespec *);
__attribute__((constructor)) static void begin(void) {
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("EVENTSPEC_FAULT_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *page = mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (page != MAP_FAILED) offset_ns = page;
}
int clock_gettime(clockid_t id, struct timespec *t) {
    if (!real_gettime) real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real_gettime(id, t);
    if (result == 0 && offset_ns && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        long long now = t->tv_sec * 1000000000LL + t->tv_nsec + *offset_ns;
        t->tv_sec = now / 1000000000LL;
        t->tv_nsec = now % 1000000000LL;
    }
    return result;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
"""


class JumpingClock:
    """Made in a folder; `environment` gives processes the clock. Without a C compiler there is none (`here` False)."""

    def __init__(self, folder: Path) -> None:
        self._offset, library = folder / "clock", folder / "clock.so"
        self._offset.write_bytes(bytes(8))
        compiler = shutil.which("cc") or shutil.which("gcc")
        self.here = False
        if compiler is not None:
            (folder / "clock.c").write_text(_SOURCE)
            command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(folder / "clock.c"), "-ldl"]
            self.here = subprocess.run(command, capture_output=True, check=False).returncode == 0
        self.environment = {"LD_PRELOAD": str(library), "EVENTSPEC_FAULT_CLOCK": str(self._offset)} if self.here else {}

    def jump(self, seconds: float) -> None:
        """From now on the wall clock is so many seconds ahead."""
        with self._offset.open("r+b") as file:
            file.write(struct.pack("q", round(seconds * 1e9)))
