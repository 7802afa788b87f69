"""Results files that need not be taken apart: checked as bytes, then read by hotcoco itself.

63,000 results are 30 MB of JSON, whose parsing in Python takes far longer than the whole evaluation.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgepose.media.files import require_regular

COUNTED = (b'"keypoints":', b'"score":')  # hotcoco itself refuses rows without image_id or category_id, or with two
BOX = b'"bbox":'
# Fields that hotcoco would read and pycocotools would not, as it works them out anew.
WORKED_OUT = (b'"id"', b'"area"', b'"iscrowd"', b'"segmentation"', b'"num_keypoints"', b'"caption"')
CATEGORY = re.compile(rb'"category_id":\s*(\d+)\s*[,}]')
IMAGE = re.compile(rb'"image_id":\s*(\d+)\s*[,}]')
OPEN, CLOSE, COMMA = b"[],"


@dataclass(frozen=True)
class ResultFile:
    """`rows` results about known pictures, all with as many keypoints, and with boxes or all without."""

    path: Path
    rows: int
    keypoints: int

    def __len__(self) -> int:
        return self.rows


def plain_results(path: Path, image_ids: Collection[int], categories: Collection[int] = (1,)) -> ResultFile | None:
    """The file, if it is certain without parsing that it is a sound one; None says nothing, not even that it is wrong.

    Every row is one object without another inside, and text in JSON holds no bare quotes: what is counted is therefore
    what it seems to be. That numbers are numbers is left to who reads them.
    """
    require_regular(path, "a list of results")
    content = path.read_bytes()
    n = content.count(b"{")
    boxes = content.count(BOX)
    if not n or boxes not in (0, n) or not content.lstrip().startswith(b"["):
        return None
    odd = (b"null", b"NaN", b"Infinity", *WORKED_OUT)
    if any(content.count(field) != n for field in COUNTED) or any(word in content for word in odd):
        return None
    found = IMAGE.findall(content)
    if len(found) != n or not {int(identity) for identity in set(found)} <= set(image_ids):
        return None
    kinds = CATEGORY.findall(content)
    if len(kinds) != n or not {int(identity) for identity in set(kinds)} <= set(categories):
        return None
    text = np.frombuffer(content, np.uint8)
    opens, closes, commas = (np.flatnonzero(text == sign) for sign in (OPEN, CLOSE, COMMA))
    if len(opens) != n + boxes + 1 or len(closes) != len(opens):
        return None
    lengths = np.searchsorted(commas, closes[:-1]) - np.searchsorted(commas, opens[1:]) + 1  # of the rows' lists
    if boxes:
        lengths = lengths[lengths != 4]  # which no list of keypoints has
    if len(lengths) != n or lengths[0] % 3 or (lengths != lengths[0]).any():
        return None
    return ResultFile(path, n, int(lengths[0]) // 3)
