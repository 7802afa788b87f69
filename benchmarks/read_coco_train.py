"""How long and how much memory it takes to read labels of the size of COCO's train2017.

    python benchmarks/read_coco_train.py [--people 150000] [--keep FILE.json]

Writes a synthetic file (118,287 pictures, 262,465 annotations, as many with keypoints as stated, outlines of the usual
length: about 240 MB), reads it in a process of its own, and prints CPU seconds and the peak of its memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from edgepose.skeleton import COCO

READ = """
import resource, sys, time
from edgepose.data.read import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.process_time()
people = read(sys.argv[1])
seconds = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{len(people)} people, {len(people.files)} pictures, {len(people.unlabelled)} unlabelled: "
      f"{seconds:.2f} s CPU, peak {peak / 1e6:.2f} GB of which imports {before / 1e6:.2f}")
"""


def write(path: Path, pictures: int, annotations: int, people: int) -> None:
    """A COCO-style file of these counts; texts of 200 people are used over and over."""
    rng = random.Random(0)

    def outline() -> str:
        return json.dumps([[round(rng.uniform(0, 640), 2) for _ in range(2 * rng.randint(12, 60))]])

    def keypoints(labelled: bool) -> str:
        row = [v for _ in range(17) for v in (rng.randint(1, 639), rng.randint(1, 479), rng.randint(0, 2))]
        return json.dumps([*row[:-1], 2] if labelled else [0] * 51)

    samples = [(outline(), keypoints(True), keypoints(False)) for _ in range(200)]
    with path.open("w") as file:
        file.write('{"info": {"description": "synthetic"}, "licenses": [], "images": [')
        for i in range(pictures):
            name = f"{i:012d}.jpg"
            file.write(
                f'{"," if i else ""}{{"license": 3, "file_name": "{name}", "coco_url": '
                f'"http://images.cocodataset.org/train2017/{name}", "height": 480, "width": 640, "date_captured": '
                f'"2013-11-14 16:28:13", "flickr_url": "http://farm.staticflickr.com/1/{i}_z.jpg", "id": {i}}}'
            )
        file.write('], "annotations": [')
        for i in range(annotations):
            shape, labelled, bare = samples[i % len(samples)]
            file.write(
                f'{"," if i else ""}{{"segmentation": {shape}, "num_keypoints": 9, "area": {1000 + i / 7}, '
                f'"iscrowd": 0, "keypoints": {labelled if i < people else bare}, "image_id": {i % pictures}, '
                f'"bbox": [{i % 300}.25, {i % 200}.5, 120.75, 190.5], "category_id": 1, "id": {i + 1}}}'
            )
        category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": COCO.names, "skeleton": []}
        file.write(f'], "categories": [{json.dumps(category)}]}}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=150_000, help="annotations with keypoints")
    parser.add_argument("--keep", type=Path, help="write the file here and keep it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.keep or Path(folder) / "train.json"
        share = options.people / 150_000
        write(path, max(round(118_287 * share), 1), round(262_465 * share), options.people)
        print(f"{path.stat().st_size / 1e6:.0f} MB of labels")
        subprocess.run([sys.executable, "-c", READ, str(path)], check=True)


if __name__ == "__main__":
    main()
