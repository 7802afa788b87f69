"""`edgepose`, `python -m edgepose`, and `torchrun -m edgepose train ...`."""

import signal


def run() -> None:
    """Entry point of `edgepose`. Until a command begins there is nothing to keep: Ctrl-C ends it without a word."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edgepose.cli import main

    main()


if __name__ == "__main__":
    run()
