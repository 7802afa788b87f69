"""How `python -m edgepose` ends as one of torchrun's processes."""

import subprocess
import sys

import pytest

END = """
import sys, threading, time
from edgepose.__main__ import end_at_once

threading.Thread(target=time.sleep, args=(60,)).start()  # Python's own end would wait for it
def call():
    print("done")
    {}
end_at_once(call)
"""


@pytest.mark.parametrize(
    ("last", "status", "told"),
    [
        ("return 7", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(130)", 130, ""),
        ("sys.exit('no such recipe')", 1, "no such recipe"),
        ("raise ValueError('bad')", 1, "ValueError: bad"),
    ],
)
def test_a_process_ends_at_once_with_the_status_of_the_call(last: str, status: int, told: str) -> None:
    result = subprocess.run([sys.executable, "-c", END.format(last)], capture_output=True, text=True, timeout=30)
    assert result.returncode == status and result.stdout == "done\n"
    assert told in result.stderr and bool(told) == bool(result.stderr)
