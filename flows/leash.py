"""Runs a command and ends it when it is told to, or when whoever started this one is gone.

`python -m flows.leash COMMAND …`, with a pipe as standard input whose other end its starter holds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

PATIENCE = 15
"""Seconds in which the command has to end once it is told to."""


def main(command: list[str]) -> int:
    """Run `command`; its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` had it ignored
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(*_: object) -> None:
        process.send_signal(signal.SIGINT)  # on a SIGTERM Prefect's runner shows a stack trace
        threading.Thread(target=_make_sure, args=(process,), daemon=True).start()

    def watch() -> None:
        while os.read(0, 1):
            pass
        end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    threading.Thread(target=watch, daemon=True).start()
    return process.wait()


def _make_sure(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
