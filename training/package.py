"""Put a trained network into the package under a default name, with what its card states inside the file.

    python training/package.py default-pose CHECKPOINT FACTS.json CHOOSING.json:PICTURES [FOLDER]

FACTS.json holds the fields of the spec that no training run knows: license, training_data and accuracy. The ONNX file
(float16 weights) is compared with torch on real views first; the same weights go beside it as NAME.safetensors, without
the optimizer's state and in float16 too, to start from with `init=NAME`; and SHA256SUMS is written anew. What the
scores of a pose network mean is fitted on the same labels (`training/calibrate.py`), which therefore must not be those
that figures are reported on. FOLDER is the package's own, or another one that is made where it is missing.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
from calibrate import calibrate, write_sums

from edgepose.data.people import People
from edgepose.data.read import read
from edgepose.export import export_onnx
from edgepose.models.deployed import deployed_spec
from edgepose.runtime.load import WEIGHTS
from edgepose.runtime.views import Views
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint

COUNT = 32  # views to compare on


def real_views(spec: ModelSpec, people: People) -> np.ndarray:
    """(COUNT, h, w, 3) uint8: crops of people, or whole pictures for a network that finds them."""
    views = Views(deployed_spec(spec))
    if spec.per_person:
        rows = range(min(COUNT, len(people)))
        return views.crops([people.image(row) for row in rows], views.matrices(people.boxes[rows])).copy()
    rows = [int(np.flatnonzero(people.picture == picture)[0]) for picture in np.unique(people.picture)[:COUNT]]
    return np.concatenate([views.whole(people.image(row))[0].copy() for row in rows])


def main(name: str, source: Path, facts: Path, data: str, folder: Path = WEIGHTS) -> None:
    spec, network = checkpoint.network_of(source)
    spec = dataclasses.replace(spec, **json.loads(facts.read_text(encoding="utf-8")))
    labels, _, pictures = data.partition(":")
    folder.mkdir(parents=True, exist_ok=True)
    report = export_onnx(
        spec, network, folder / f"{name}.onnx", real_views(spec, read(Path(labels), Path(pictures))), half=True
    )
    print(f"{report.mean:.4f} px from torch's on {report.pictures} views")
    known = checkpoint.for_others(checkpoint.load(source)[1])
    half = {part: value.half() if value.is_floating_point() else value for part, value in network.state_dict().items()}
    checkpoint.save(folder / f"{name}.safetensors", {"network": half}, known)
    if len(spec.keypoints):
        calibrate(folder / f"{name}.onnx", data)
    write_sums(folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], *map(Path, sys.argv[5:6]))
