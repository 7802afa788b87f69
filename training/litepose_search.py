"""Eight pictures of LSPET's training set, and what a search among networks that learnt them by heart has found.

    python training/litepose_search.py data TRAIN.json OUT.json     the eight pictures' labels
    python training/litepose_search.py parts OUT/search.json SUPERNET.safetensors OUT.json:PICTURES PARTS.json

TRAIN.json is lspet/train.json of `prepare_data.py`. `parts` measures some of what was searched once more: with the
statistics of the super-net as they are, and with the channels sorted by importance before they are cut.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

from edgepose.codec import codec_of
from edgepose.codec.associative import Associative
from edgepose.data.whole import read_whole
from edgepose.models.associative import associative_spec
from edgepose.models.litepose import Architecture, LitePose
from edgepose.models.supernet import by_importance, cut
from edgepose.skeleton import SKELETONS
from edgepose.train import checkpoint
from edgepose.train.litepose.supernet import Calibration, stand_alone
from edgepose.train.validation import validation
from edgepose.train.words import parse

PICTURES = (1, 1100, 2372, 3543, 4664, 5785, 6969, 8150)  # all twelve joints, eyes and nose of one person are labelled


def write_data(labels: Path, out: Path) -> None:
    """Labels of the eight pictures with COCO's keypoints, and everybody else in them as crowds, as `labels` has it."""
    whole = json.loads(labels.read_text(encoding="utf-8"))
    rows = [dict(a, keypoints=a["keypoints"][:51]) for a in whole["annotations"] if a["image_id"] in PICTURES]
    for row in rows:
        row["num_keypoints"] = sum(v > 0 for v in row["keypoints"][2::3])
    categories = [dict(c, keypoints=c["keypoints"][:17]) for c in whole["categories"]]
    images = [image for image in whole["images"] if image["id"] in PICTURES]
    out.write_text(json.dumps({"images": images, "annotations": rows, "categories": categories}))


def measure_parts(found: Path, supernet: Path, data: str, out: Path) -> None:
    """AP of the winner, and of the narrowest and the widest network that were looked at, cut in three ways."""
    sets = parse("parts", [f"data={data}"])[0].data
    spec, network = checkpoint.network_of(supernet)
    if not isinstance(network, LitePose):
        raise ValueError(f"{supernet} holds {spec.name}, expected a super-net")
    samples = read_whole(sets, SKELETONS[spec.skeleton], spec, codec_of(spec, Associative), 0.0)
    ordered = copy.deepcopy(network)
    ordered.load_state_dict(by_importance(dict(network.state_dict())))
    result = json.loads(found.read_text(encoding="utf-8"))
    calibration = Calibration(samples, result["seed"], result["calibrate"], stage=0)
    networks = sorted((row for g in result["generations"] for row in g["networks"]), key=lambda row: row["macs"])
    rows: list[dict[str, Any]] = []
    for name in dict.fromkeys((result["winner"]["model"], networks[0]["model"], networks[-1]["model"])):
        part = Architecture.named(name)
        if part is None:
            raise ValueError(f"{found} names {name}, expected a LitePose by its widths")
        own = associative_spec(name, spec.skeleton, (part.side, part.side))
        figures = validation(own, sets)
        calibrated = stand_alone(network, part, spec.skeleton, calibration)[1]
        resorted = stand_alone(ordered, part, spec.skeleton, calibration)[1]
        rows.append({
            "model": name, "AP": figures(calibrated)["AP"], "AP, statistics of the super-net":
            figures(cut(network, part.widths).eval())["AP"], "AP, sorted before the cut": figures(resorted)["AP"],
        })  # fmt: skip
    out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    if sys.argv[1] == "data":
        write_data(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        measure_parts(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
