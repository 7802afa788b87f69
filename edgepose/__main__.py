"""`edgepose`, `python -m edgepose`, and `torchrun -m edgepose train ...`."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable


def run() -> None:
    """Entry point of `edgepose`. Until a command begins there is nothing to keep: Ctrl-C ends it without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edgepose.cli import main

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        end_at_once(main)
    main()


def end_at_once(call: Callable[[], object]) -> None:
    """Make a call and end the process with its status, without Python's own end.

    What DistributedDataParallel has begun (torch 2.13) outlives `destroy_process_group`: threads of gloo that may still
    free a tensor. One that asks for the interpreter's lock while the interpreter ends takes the process down (SIGABRT,
    "terminate called without an active exception") after everything is done, and torchrun then calls the run failed.
    """
    status = 1
    try:
        call()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(status)


if __name__ == "__main__":
    run()
