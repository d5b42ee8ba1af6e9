"""Runs a command in a network namespace: `python enter.py NAMESPACE COMMAND...`; the process becomes the command.

A program of its own, with nothing but the standard library, so that it starts at once.
"""

import ctypes
import os
import sys


def main() -> None:
    """Enter, and become the command; status 127 if there is no such command, 126 if there is no such namespace."""
    namespace, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(descriptor, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    except OSError as error:
        sys.stderr.write(f"the link is down: its network namespace can't be entered ({error.strerror})\n")
        sys.exit(126)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
