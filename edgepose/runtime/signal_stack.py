"""The stack on which the main thread's signal handlers run, given back to who had it before.

OpenVINO 2026.4 gives the thread that compiles a model a small stack of its own for signals (sigaltstack). When models
are dropped in another order than they were loaded in, it puts back one that is no longer there, and the next Ctrl-C is
a segmentation fault: three models loaded and dropped are enough. Where each model finds and leaves the thread as it
was, there is nothing to put back.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class _Stack(ctypes.Structure):
    """stack_t of Linux."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Whatever the block does to the calling thread's signal stack is undone at its end. Nothing but on Linux."""
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _Stack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)
