"""Suggestions for names with typing errors."""

import pytest

from edgepose.names import meant


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("defualt", " (did you mean 'default'?)"),
        ("RTMPose-M", " (did you mean 'rtmpose-m'?)"),
        ("rtmpose_t", " (did you mean 'rtmpose-t'?)"),
        ("hourglass", ""),
        ("", ""),
    ],
)
def test_the_nearest_name_is_suggested(name: str, said: str) -> None:
    assert meant(name, ["default", "rtmpose-t", "rtmpose-m", "rtmdet-nano"]) == said
