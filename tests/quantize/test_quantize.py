from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgepose.cli import app
from edgepose.quantize import quantize
from edgepose.quantize.card import beside, card_in, target_here
from edgepose.runtime.load import load
from edgepose.runtime.session import Session
from tests.quantize.small import OUTLIER, small_graph, small_spec, spot, write_small_model, write_spots

onnx = pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "spots"
    labels = write_spots(folder, 40)
    (folder / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    return folder


def integers(path: Path) -> dict[str, np.ndarray]:
    """The weights of a file that are int8."""
    tensors = onnx.load(str(path)).graph.initializer
    arrays = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in tensors}
    return {name: array for name, array in arrays.items() if array.dtype == np.int8 and array.ndim == 4}


def test_an_int8_file_runs_as_any_other_with_its_card_inside_and_beside(tmp_path: Path, spots: Path) -> None:
    source = write_small_model(tmp_path / "small.onnx")
    out = tmp_path / "int8.onnx"
    stages: list[str] = []
    card = quantize(source, spots, out, target="vnni", progress=lambda what, done, total: stages.append(what))
    assert card.float_layers == () and card.layers == 4 and card.bits == 8
    assert card.agreement >= 0.98 and card.ap_before is card.ap_after is None
    assert (card.pictures, card.views, card.held_out, card.people) == (32, 32, 8, 8)
    assert card.source_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert card.ms_before > 0 and card.ms_after > 0 and card.bytes_before == source.stat().st_size
    assert card.to_json() == json.dumps(card_in(out)) == beside(out).read_text(encoding="utf-8").strip()
    assert beside(out) == tmp_path / "int8.card.json"
    assert Session(out).spec == Session(source).spec
    estimator, before = load(out), load(source)
    for i in range(100, 110):
        image, middle = spot(i)
        assert np.linalg.norm(estimator(image).keypoints - before(image).keypoints, axis=-1).max() <= 2
        assert np.linalg.norm(estimator(image).keypoints - middle, axis=-1).max() <= 6
    assert len(integers(out)) == 4
    assert {"choosing pictures", "looking at ranges", "choosing ranges"} <= set(stages)


@pytest.mark.parametrize(("target", "largest"), [("avx2", 64), ("vnni", 127), ("arm", 127)])
def test_weights_have_seven_bits_where_sums_of_eight_do_not_fit(
    tmp_path: Path, spots: Path, target: Any, largest: int
) -> None:
    source = write_small_model(tmp_path / "small.onnx")
    card = quantize(source, spots, tmp_path / "int8.onnx", target=target, method="minmax")
    assert card.target == target and card.method == "minmax"
    found = max(int(np.abs(array.astype(int)).max()) for array in integers(tmp_path / "int8.onnx").values())
    assert found == largest


def test_layers_that_do_not_survive_stay_in_float(tmp_path: Path, spots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgepose.quantize.sensitivity.MOST", 0.75)
    source = write_small_model(tmp_path / "small.onnx", OUTLIER)
    card = quantize(source, spots, tmp_path / "mixed.onnx", method="minmax", target="vnni")
    assert card.float_layers[0] == "head" and set(card.float_layers[1:]) == {"wide", "next"}
    assert card.agreement >= 0.98
    assert sorted(name.partition(".")[0] for name in integers(tmp_path / "mixed.onnx")) == ["first"]


def test_what_cannot_be_saved_is_refused_and_nothing_is_kept(
    tmp_path: Path, spots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepose.quantize.sensitivity.MOST", 0.25)  # the head alone
    source = write_small_model(tmp_path / "small.onnx", OUTLIER)
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"agreement with the float32 file is 0\.\d+, .*1 of 4 layers left in float"):
        quantize(source, spots, tmp_path / "int8.onnx", method="minmax")
    run = CliRunner().invoke(
        app, ["quantize", str(source), "--images", str(spots), "--out", str(tmp_path / "x.onnx"), "--method", "minmax"]
    )
    assert run.exit_code == 1
    assert run.stderr.count("\n") == 1 and "x.onnx was not written: agreement" in run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_bad_calibration_sets_end_with_status_1_and_the_reason(tmp_path: Path, spots: Path) -> None:
    source = write_small_model(tmp_path / "small.onnx")
    (tmp_path / "gray").mkdir()
    cv2.imwrite(str(tmp_path / "gray" / "1.png"), np.full((64, 48, 3), 128, np.uint8))
    write_spots(tmp_path / "five", 5)
    for folder, reason in (("gray", "0 different pictures"), ("five", "5 different pictures")):
        run = CliRunner().invoke(
            app, ["quantize", str(source), "--images", str(tmp_path / folder), "--out", str(tmp_path / "x.onnx")]
        )
        assert run.exit_code == 1 and reason in run.stderr and run.stderr.count("\n") == 1
    assert not (tmp_path / "x.onnx").exists() and not (tmp_path / "x.card.json").exists()


def test_with_labels_the_card_has_ap_and_the_command_line_says_it(tmp_path: Path, spots: Path) -> None:
    pytest.importorskip("hotcoco")
    source, out = write_small_model(tmp_path / "small.onnx"), tmp_path / "int8.onnx"
    words = ["--images", str(spots), "--data", str(spots / "labels.json"), "--out", str(out)]
    run = CliRunner().invoke(app, ["quantize", str(source), *words])
    assert run.exit_code == 0, run.stderr
    card = card_in(out)
    assert card is not None and card["ap_before"] > 0.9 and card["ap_before"] - card["ap_after"] <= 0.01
    assert f"AP {card['ap_before']:.3f} -> {card['ap_after']:.3f}" in run.stdout
    assert "judged on 8 held-out pictures" in run.stderr
    again = CliRunner().invoke(app, ["quantize", str(source), *words, "--json"])
    assert json.loads(again.stdout)["calibration"] == card["calibration"]


def test_the_commands_run_it(tmp_path: Path, spots: Path) -> None:
    pytest.importorskip("hotcoco")
    out = tmp_path / "int8.onnx"
    quantize(write_small_model(tmp_path / "small.onnx"), spots, out)
    cli = CliRunner()
    assert "3.png: 1 person" in cli.invoke(app, ["predict", str(spots / "3.png"), "--model", str(out)]).stdout
    words = ["--data", str(spots / "labels.json"), "--images", str(spots), "--json"]
    assert json.loads(cli.invoke(app, ["evaluate", "--model", str(out), *words]).stdout)["AP"] > 0.9
    assert json.loads(cli.invoke(app, ["bench", str(out), "--seconds", "0", "--json"]).stdout)["calls"] > 0


def test_a_foreign_file_with_its_spec_beside_it(tmp_path: Path, spots: Path) -> None:
    source = tmp_path / "foreign.onnx"
    source.write_bytes(small_graph(layout="nchw", opset=11).SerializeToString())
    source.with_suffix(".json").write_text(small_spec("nchw").to_json(), encoding="utf-8")
    out = tmp_path / "elsewhere" / "int8.onnx"
    out.parent.mkdir()
    card = quantize(source, spots, out)
    assert card.name == "small" and len(integers(out)) == 4
    assert Session(out).spec == small_spec("nchw")  # inside, as there is none beside it
    image, middle = spot(100)
    assert np.linalg.norm(load(out)(image).keypoints - middle, axis=-1).max() <= 6


def test_float16_keeps_inputs_and_outputs(tmp_path: Path, spots: Path) -> None:
    source, out = write_small_model(tmp_path / "small.onnx"), tmp_path / "half.onnx"
    card = quantize(source, spots, out, to="fp16")
    assert (card.to, card.method, card.bits) == ("fp16", "fp16", 16)
    graph = onnx.load(str(out)).graph
    assert graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert kinds["head.weight"] == onnx.TensorProto.FLOAT16
    batch = np.stack([spot(i)[0] for i in range(3)])
    np.testing.assert_allclose(Session(out)(batch)[0], Session(source)(batch)[0], rtol=5e-3)


def test_a_quantized_file_is_not_quantized_again(tmp_path: Path, spots: Path) -> None:
    out = tmp_path / "int8.onnx"
    quantize(write_small_model(tmp_path / "small.onnx"), spots, out)
    with pytest.raises(ValueError, match="is quantized already"):
        quantize(out, spots, tmp_path / "again.onnx")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"to": "int4"}, "cannot quantize to 'int4'"),
        ({"method": "median"}, "unknown method 'median'"),
        ({"target": "gpu"}, "unknown target 'gpu'"),
        ({"max_drop": -1}, "max_drop is -1"),
        ({"out": "int8.xml"}, "a name that ends in .onnx"),
    ],
)
def test_wrong_words_are_refused_at_once(tmp_path: Path, words: dict[str, Any], reason: str) -> None:
    out = tmp_path / words.pop("out", "int8.onnx")
    with pytest.raises(ValueError, match=reason):
        quantize("default", tmp_path / "nowhere", out, **words)


def test_the_float32_file_is_not_written_over(tmp_path: Path, spots: Path) -> None:
    source = write_small_model(tmp_path / "small.onnx")
    with pytest.raises(ValueError, match="is the float32 file itself"):
        quantize(source, spots, source)


@pytest.mark.parametrize(
    ("machine", "flags", "target"),
    [
        ("x86_64", "fpu avx2 fma", "avx2"),
        ("x86_64", "avx512_vnni avx2", "vnni"),
        ("x86_64", "avx2 avx_vnni", "vnni"),
        ("aarch64", "", "arm"),
    ],
)
def test_the_target_is_this_machine(monkeypatch: pytest.MonkeyPatch, machine: str, flags: str, target: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("edgepose.quantize.card._cpu", lambda field: flags)
    assert target_here() == target


@pytest.mark.slow
def test_the_default_pose_network_keeps_its_ap(tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    coco = Path(os.environ.get("EDGEPOSE_SHARED", "shared")) / "data" / "coco"
    if not coco.is_dir():
        pytest.skip("COCO's slice is not here: set EDGEPOSE_SHARED")
    (tmp_path / "pictures").mkdir()
    with zipfile.ZipFile(coco / "train.zip") as pictures:
        for name in pictures.namelist()[:120]:
            (tmp_path / "pictures" / name).write_bytes(pictures.read(name))
    out = tmp_path / "int8.onnx"
    card = quantize("default-pose", tmp_path / "pictures", out, data=coco / "train.json", max_drop=1.0)
    assert card.ap_before is not None and card.ap_after is not None
    assert card.ap_before > 0.3 and card.ap_before - card.ap_after <= 0.01
    assert card.bytes_after < 0.75 * card.bytes_before
    assert load(out).skeleton == load("default-pose").skeleton
