"""The study of channel reduction: every column of its table."""

import json
import runpy
from pathlib import Path

import cv2
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("hotcoco")

from edgepose.models import build  # noqa: E402
from edgepose.skeleton import COCO  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.recipes import RECIPES, override, to_dict  # noqa: E402
from tests.people import four_people  # noqa: E402

pytestmark = pytest.mark.torch
SCRIPT = str(Path(__file__).resolve().parents[2] / "benchmarks" / "channel_reduction.py")
STUDY = runpy.run_path(SCRIPT)


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", [SCRIPT, *map(str, words)])
    STUDY["main"]()


def test_the_study_finds_the_published_share(monkeypatch, capsys, tmp_path):
    names = ["deconvpose-mobilenet_v2-256-256-256", "deconvpose", "deconvpose-resnet18-256-256-256", "hrnet-w48"]
    run(monkeypatch, *names, "--rounds", 0, "--out", tmp_path / "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["model"] for row in rows] == names
    assert [round(row["percent_of_w48"], 1) for row in rows] == [29.1, 3.8, 39.6, 100.0]
    assert round(rows[2]["percent_deconvolutions"]) == 38 and rows[3]["percent_deconvolutions"] == 0
    assert not any("ms" in row or "AP" in row for row in rows)
    shown = capsys.readouterr().out
    assert "| deconvpose | 2.63 M | 0.357 G | 23 % | 0.603 G | 3.84 % | - | - |" in shown
    assert shown.rstrip().endswith("At the published 3.8 % of HRNet-W48: deconvpose.")
    assert set(STUDY["STUDY"]) >= {"deconvpose-mobilenet_v2-64-64-64", "deconvpose-efficientnet-b0-64-32-32"}


def test_times_and_accuracy_where_they_can_be_had(monkeypatch, capsys, tmp_path):
    name = "deconvpose-mobilenet_v2-8"
    monkeypatch.setitem(STUDY["main"].__globals__, "SIZE", (32, 64))
    spec, network = build(name, input_size=(32, 64))
    facts = {"recipe": to_dict(override(RECIPES["deconvpose"], [f"model={name}"])), "spec": spec.to_json()}
    checkpoint.save(tmp_path / "last.safetensors", {"network": network.state_dict()}, facts)
    image, poses = four_people()
    assert cv2.imwrite(str(tmp_path / "1.png"), image)
    people = [
        {"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "bbox": [*box[:2], 40, 80],
         "area": 3200, "keypoints": [float(v) for x, y in points for v in (x, y, 2)]}
        for i, (box, points) in enumerate(zip(poses.boxes.tolist(), poses.keypoints, strict=True), start=1)
    ]  # fmt: skip
    content = {
        "images": [{"id": 1, "file_name": "1.png", "width": image.shape[1], "height": image.shape[0]}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.names)}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(content))
    given = f"{name}={tmp_path / 'last.safetensors'}"
    where = ["--data", tmp_path / "labels.json", "--images", tmp_path]
    run(monkeypatch, name, "--rounds", 1, "--calls", 1, "--threads", 1, "--out", tmp_path / "rows.json", *where,
        "--weights", given)  # fmt: skip
    (row,) = json.loads((tmp_path / "rows.json").read_text())
    assert row["ms_rounds"] == [row["ms"]] * 2 and row["ms"] > 0
    assert 0 <= row["AP"] < 0.5 and row["people"] == 4 and row["flip_test"] is True
    cells = capsys.readouterr().out.splitlines()[2].split(" | ")
    assert cells[-2:] == [f"{row['ms']:.1f}", f"{row['AP']:.3f} |"]
    with pytest.raises(ValueError, match=rf"is a {name}, expected a deconvpose: name the row"):
        run(
            monkeypatch, "deconvpose", "--rounds", 0, *where, "--weights", f"deconvpose={tmp_path / 'last.safetensors'}"
        )
    with pytest.raises(SystemExit):
        run(monkeypatch, "deconvpose", "--weights", given)
