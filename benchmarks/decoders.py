"""Associative decoding of a real network: AP and CPU milliseconds of the default against the published settings.

    python benchmarks/decoders.py MODEL.onnx LABELS.json PICTURES [--out FIGURES.json]

The network is a file of `edgepose export`. Each setting decodes the same outputs of every picture; AP is COCO's, and
milliseconds are the mean CPU time of one thread per picture. `benchmarks/associative.py` is the same for made-up maps.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.associative import SETTINGS
from edgepose.codec import codec_of
from edgepose.codec.associative import Associative
from edgepose.evaluate.coco import coco_ap
from edgepose.evaluate.labels import read_labels
from edgepose.evaluate.run import run
from edgepose.poses import Poses
from edgepose.runtime.estimator import Estimator
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec


class Timed:
    """An estimator that counts the CPU seconds of its decoding; `decoder` is what it decodes with."""

    def __init__(self, path: Path, changes: dict[str, Any]) -> None:
        self.spec: ModelSpec = Session(path).spec
        codec_of(self.spec, Associative)  # or it is no bottom-up network
        self.spec = dataclasses.replace(self.spec, codec_args={**self.spec.codec_args, **changes})
        self.estimator = Estimator(Session(path, self.spec), min_box_score=0.0)
        self.seconds = 0.0
        decode = Associative.decode

        def timed(codec: Associative, outputs: list[np.ndarray]) -> Poses:
            start = time.thread_time()
            try:
                return decode(codec, outputs)
            finally:
                self.seconds += time.thread_time() - start

        self.decode = timed

    def __call__(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Poses:
        """People of a picture."""
        original, Associative.decode = Associative.decode, self.decode  # type: ignore[method-assign]
        try:
            return self.estimator(image)
        finally:
            Associative.decode = original  # type: ignore[method-assign]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    labels = read_labels(options.labels)
    rows = []
    print("| decoding | AP | AP50 | people found | CPU ms a picture |\n| --- | ---: | ---: | ---: | ---: |")
    for name, changes in SETTINGS.items():
        estimator = Timed(options.model, changes)
        outcome = run(estimator, labels, options.pictures)
        figures = coco_ap(outcome.results, labels)
        row = {"decoding": name, "AP": figures["AP"], "AP50": figures["AP50"], "people": outcome.people,
               "ms": 1e3 * estimator.seconds / max(outcome.images, 1), "pictures": outcome.images}  # fmt: skip
        rows.append(row)
        print(f"| {name} | {row['AP']:.4f} | {row['AP50']:.4f} | {row['people']} | {row['ms']:.1f} |", flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
