"""The commands: help, exit status, what goes to which stream, and that errors are sentences."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

import edgepose
from edgepose.cli import app
from edgepose.cli.doctor import _extras, _packages
from edgepose.cli.screen import Screen
from edgepose.media.example import scaled_example
from edgepose.media.video import Frame, VideoWriter, read_video
from tests.tiny import write_tiny_model

COMMANDS = (
    "predict", "track", "demo", "label", "train", "search", "export", "evaluate", "bench", "tune", "compare", "serve",
    "models", "macs", "doctor", "data check", "data single-person", "data synthesize",
)  # fmt: skip

DEVICE_VERBS = (
    "predict a.jpg", "track a.mp4", "serve", "bench m", "evaluate --data a.json --model m --images p",
    "compare m --data a.json --images p", "label p --out o.json",
)  # fmt: skip


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def errors(result: Result) -> str:
    """Standard error of a failed command, which is one sentence and no traceback."""
    assert result.exit_code == 1, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output and result.stderr.startswith("error: ")
    return result.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.onnx")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "photo.jpg"
    assert cv2.imwrite(str(path), scaled_example((320, 180)))
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Four frames at uneven times."""
    path = tmp_path / "clip.mp4"
    image = scaled_example((160, 96))
    with VideoWriter(path) as video:
        for index, time in enumerate((0.0, 0.1, 0.15, 0.4)):
            video.write(Frame(image, time, index))
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    result = run(*command.split(), "--help")
    assert result.exit_code == 0 and "--json" in result.stdout


@pytest.mark.parametrize("columns", ["60", "80", "110"])
def test_help_fills_its_lines(columns: str) -> None:
    """Where a line of the docstring ends says nothing about the terminal's."""
    shown = CliRunner().invoke(app, ["predict", "--help"], env={"COLUMNS": columns}).stdout
    text = shown.partition("Find people and their keypoints.")[2].partition("Arguments")[0]
    lines = [line.strip() for line in text.splitlines() if line.strip() and "─" not in line]
    assert len(lines) >= 3 and all(len(line) > int(columns) - 20 for line in lines[:-1])


def test_no_words_are_answered_with_help() -> None:
    for words in ([], ["data"]):
        result = run(*words)
        assert result.exit_code == 2 and "Usage:" in result.output and "error" not in result.output


def test_predict_prints_a_line_for_people_or_for_machines(model: Path, picture: Path) -> None:
    result = run("predict", picture, "--model", model)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{picture}: 1 person\n"
    result = run("predict", picture, "--model", model, "--json")
    assert result.exit_code == 0, result.output
    line = json.loads(result.stdout)
    assert (line["source"], line["frame"], line["time"]) == (str(picture), 0, None)
    assert (line["width"], line["height"]) == (320, 180) and len(line["people"][0]["keypoints"]) == 17


def test_predict_writes_results_and_overlays(model: Path, picture: Path, tmp_path: Path) -> None:
    result = run("predict", picture, "--model", model, "--out", tmp_path / "new" / "out", "--overlay")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new" / "out"
    assert sorted(p.name for p in folder.iterdir()) == ["photo_overlay.jpg", "results.jsonl"]
    overlay = cv2.imread(str(folder / "photo_overlay.jpg"))
    assert overlay.shape == (180, 320, 3) and str(folder / "results.jsonl") in result.stdout


def test_results_go_into_a_folder(model: Path, picture: Path) -> None:
    for words in (["predict", picture, "--model", model], ["demo", picture]):
        message = errors(run(*words, "--out", picture))
        assert f"cannot write to {picture}: expected a folder" in message


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("jsonl", ["results.jsonl"]),
        ("coco", ["results-images.json", "results.json"]),
        ("csv", ["results.csv"]),
        ("openpose", ["openpose"]),
    ],
)
def test_predict_formats(kind: str, names: list[str], model: Path, picture: Path, tmp_path: Path) -> None:
    result = run("predict", picture, "--model", model, "--out", tmp_path, "--format", kind)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_predict_keeps_the_times_of_a_video(model: Path, clip: Path, tmp_path: Path) -> None:
    result = run("predict", clip, "--model", model, "--out", tmp_path / "out", "--overlay", "--json")
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["time"] for line in lines] == pytest.approx([0.0, 0.1, 0.15, 0.4], abs=0.002)
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    from edgepose.media.video import read_video

    times = [frame.time for frame in read_video(tmp_path / "out" / "clip_overlay.mp4")]
    assert times == pytest.approx([0.0, 0.1, 0.15, 0.4], abs=0.002)


def test_bad_pictures_are_named_and_the_others_done(model: Path, picture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = picture.read_bytes()
    (folder / "1.jpg").write_bytes(good)
    (folder / "2.jpg").write_bytes(b"no picture")
    (folder / "3.png").write_bytes(b"")
    (folder / "4.jpg").write_bytes(good[: len(good) // 2])
    (folder / "5.jpg").write_bytes(good)
    result = run("predict", folder, "--model", model, "--out", tmp_path / "out")
    assert [name in errors(result) for name in ("1.jpg", "2.jpg", "3.png", "4.jpg", "5.jpg")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert result.stderr.count("error: ") == 3 == result.stderr.count("\n")
    lines = (tmp_path / "out" / "results.jsonl").read_text().splitlines()
    assert [Path(json.loads(line)["source"]).name for line in lines] == ["1.jpg", "5.jpg"]


@pytest.mark.parametrize("source", ["missing.jpg", "missing-*.png", "ftp://host/clip.mp4", "."])
def test_sources_that_are_not_there(source: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "expected" in errors(run("predict", source, "--model", model))


def test_sources_that_are_there_are_done_whatever_the_others_are(model: Path, picture: Path, tmp_path: Path) -> None:
    """Before and after one that is missing, and one that no reader takes; what failed is counted at the end."""
    sources = [tmp_path / "missing.jpg", picture, "ftp://host/clip.mp4", picture]
    result = run("predict", *sources, "--model", model, "--json")
    assert result.exit_code == 1 and len(result.stdout.splitlines()) == 2
    assert result.stderr.count("error: ") == 2 and "missing.jpg" in result.stderr and "ftp" in result.stderr
    assert "4 sources, 2 frames, 2 failed" in run("predict", *sources, "--model", model).stdout


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "a.jpg", "--model", "no-such-model"],
        ["predict", "a.jpg", "--model", "no-such-file.onnx"],
        ["train", "rtmpose-t", "data=missing.json:missing"],
        ["evaluate", "--predictions", "missing.json", "--data", "missing.json"],
        ["export", "missing.safetensors"],
        ["bench", "no-such-model"],
        ["models", "no-such-model"],
        ["demo", "missing.jpg"],
    ],
)
def test_failures_are_sentences(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if words[0] in ("train", "export"):
        pytest.importorskip("torch")
    message = errors(run(*words))
    assert message.count("\n") == 1 and len(message) < 2500


@pytest.mark.parametrize(
    ("words", "said"),
    [
        *((f"{command} --no-such-option", "no such option: --no-such-option") for command in COMMANDS),
        ("--no-such-option", "no such option: --no-such-option"),
        ("fly", "no such command 'fly'"),
        ("data fly", "no such command 'fly'"),
        ("predict", "missing argument 'SOURCE'"),
        ("track", "missing argument 'SOURCE'"),
        ("train", "missing argument"),
        ("export", "missing argument"),
        ("bench", "missing argument"),
        ("macs", "missing argument"),
        ("data check", "missing argument"),
        ("data single-person a.json", "missing argument"),
        ("search", "missing option '--checkpoint'"),
        ("evaluate", "missing option '--data'"),
        ("compare m", "missing option '--data'"),
        ("data synthesize", "missing option '--out'"),
        ("demo a.jpg b.jpg", "unexpected extra argument"),
        ("doctor now", "unexpected extra argument"),
        ("train rtmpose-t", "no training data"),
        ("train rtmpose-t data=a.json", "expected ANNOTATIONS.json:PICTURES"),
        ("predict a.jpg --threads", "requires an argument"),
        ("predict a.jpg --threads two", "invalid value for '--threads'"),
        ("predict a.jpg --threads 0", "invalid value for '--threads'"),
        *((f"{verb} --device cuda", "unknown device 'cuda', expected one of ['cpu', 'auto']") for verb in DEVICE_VERBS),
        ("predict a.jpg --backend magic", "'magic' is not one of 'onnxruntime', 'openvino', 'ncnn'"),
        ("predict a.jpg --out x --format xml", "'xml' is not one of 'jsonl', 'coco', 'csv', 'openpose'"),
        ("predict a.jpg --overlay", "add --out FOLDER"),
        ("predict a.jpg --format csv", "add --out FOLDER"),
        ("track a.mp4 --preset firm", "'firm' is not one of 'steady', 'default', 'quick'"),
        ("track a.mp4 --detect-every often", "expected a number of frames from 1, or adaptive, got 'often'"),
        ("export a.safetensors --to tflite", "'tflite' is not one of 'onnx', 'openvino', 'ncnn'"),
        ("evaluate --data a.json", "--model MODEL or --predictions RESULTS.json"),
        ("evaluate --data a.json --model m --predictions p.json", "one of the two"),
        ("evaluate --data a.json --model m", "add --images FOLDER_OR_ZIP"),
        ("evaluate --data a.json --predictions p.json --protocol voc", "'coco', 'crowdpose', 'wholebody'"),
        ("evaluate --data a.json --predictions p.json --pck arm", "not one of 'torso', 'trunk', 'box', 'head'"),
        ("bench --people many m", "'many': expected counts of people"),
        ("serve --port 70000", "invalid value for '--port'"),
        ("data synthesize --out a --video --move fly", "'fly' is not one of 'static', 'pan'"),
        ("data synthesize --out a --fps 5", "add --video"),
        ("macs litepose-xs --size big", "'big': expected width x height"),
        ("macs litepose-xs --skeleton cat", "skeleton 'cat': expected a .json or .toml file"),
    ],
)
def test_wrong_use_is_a_sentence_with_status_2(words: str, said: str) -> None:
    if words.startswith("train "):
        pytest.importorskip("torch")
    result = run(*words.split())
    assert result.exit_code == 2 and result.stdout == "" and "Traceback" not in result.stderr, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and said in result.stderr
    assert result.stderr.rstrip().endswith("--help`)"), "it says where to read on"


def test_choices_are_those_that_exist() -> None:
    from edgepose.cli import options
    from edgepose.evaluate.coco import PROTOCOLS
    from edgepose.evaluate.keypoints import SIZES
    from edgepose.media.results import FORMATS
    from edgepose.runtime.load import BACKENDS, Runner
    from edgepose.runtime.tracker.smoothing import PRESETS
    from edgepose.synthetic.camera import MOVES

    known = {
        options.Protocol: PROTOCOLS,
        options.Size: SIZES,
        options.Move: MOVES,
        options.Backend: BACKENDS,
        options.RunnerWord: get_args(Runner),
        options.Format: FORMATS,
        options.Preset: PRESETS,
    }
    for choices, values in known.items():
        assert set(get_args(choices)) == set(values), choices


def test_tables_have_an_entry_for_every_word_of_their_type() -> None:
    from edgepose.evaluate import coco, robustness
    from edgepose.media import results
    from edgepose.runtime import load
    from edgepose.runtime.tracker import smoothing

    for table, words in (
        (coco.PROTOCOLS, coco.Protocol),
        (robustness.KINDS, robustness.Spoiling),
        (load.BACKENDS, load.Backend),
        (results.FORMATS, results.Format),
        (smoothing.PRESETS, smoothing.PresetName),
    ):
        assert tuple(table) == get_args(words)


@pytest.mark.torch
def test_every_target_of_export_has_its_files() -> None:
    pytest.importorskip("torch")
    from edgepose.cli.options import Target
    from edgepose.export import ENDINGS

    assert set(get_args(Target)) == set(ENDINGS)


def test_evaluate_results_made_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("hotcoco")
    points = [float(v) for i in range(17) for v in (10 + 5 * i, 20 + 3 * i, 2)]
    names = list(__import__("edgepose.skeleton").skeleton.COCO.names)
    person = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "bbox": [5, 15, 100, 100], "area": 9000.0,
              "keypoints": points, "num_keypoints": 17}  # fmt: skip
    labels = {"images": [{"id": 7, "file_name": "7.jpg", "width": 200, "height": 200}], "annotations": [person],
              "categories": [{"id": 1, "name": "person", "keypoints": names}]}  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    row = {"image_id": 7, "category_id": 1, "keypoints": points, "score": 0.9}
    (tmp_path / "mine.json").write_text(json.dumps([row]))
    words = ["evaluate", "--predictions", tmp_path / "mine.json", "--data", tmp_path / "labels.json"]
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["model"] == "mine" and figures["AP"] == pytest.approx(1) and figures["AR"] == pytest.approx(1)
    assert {"AP50", "AP75", "APM", "APL", "images", "people"} <= set(figures)
    assert "1.0000" in run(*words).stdout


def test_a_reader_that_leaves_ends_quietly(model: Path, picture: Path, tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.jpg").write_bytes(picture.read_bytes())
    words = [sys.executable, "-m", "edgepose", "predict", str(tmp_path), "--model", str(model), "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    result = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def test_the_module_runs_as_a_program(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "edgepose", "predict", str(tmp_path / "none.jpg")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1 and result.stdout == "" and result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_help_waits_for_nothing_heavy() -> None:
    script = (
        "import sys, edgepose.cli\n"
        "heavy = {'torch', 'cv2', 'numpy', 'onnxruntime', 'openvino', 'av', 'fastapi', 'scipy',\n"
        "'pooch', 'requests'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_interrupted(monkeypatch: pytest.MonkeyPatch, model: Path, picture: Path) -> None:
    def stop(*_: object, **__: object) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgepose.cli.predict.run", stop)
    assert run("predict", picture, "--model", model).exit_code == 130


def test_passwords_in_urls_are_not_shown(model: Path) -> None:
    result = run("predict", "rtsp://user:secret@127.0.0.1:9/cam", "--model", model)
    assert "secret" not in result.output and result.exit_code == 1


def test_no_bar_prints_nothing(model: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """rich 13.8 writes an empty line when a bar is stopped that is not shown."""
    monkeypatch.setattr("rich.progress.Progress.stop", lambda self: self.console.print())
    result = run("predict", picture, "--model", model)
    assert result.exit_code == 0 and result.stderr == ""


def test_every_stage_of_the_work_has_a_bar_of_its_own() -> None:
    screen = Screen()

    def bars() -> list[tuple[str, float, float | None, str]]:
        return [(bar.description, bar.completed, bar.total, bar.fields["facts"]) for bar in screen.progress.tasks]

    screen.stage("accuracy", 1, 2)
    assert bars() == [("accuracy", 1, 2, "")]
    screen.stage("speed", 0, 3)  # the first has not ended, as where a model failed
    screen.stage("speed", 2, 3, "AP 0.5")
    assert bars() == [("speed", 2, 3, "AP 0.5")]
    screen.stage("speed", 3, 3)
    assert bars() == []


def test_bench_prints_an_object_per_row(model: Path) -> None:
    result = run("bench", model, "--seconds", "0.05", "--json")
    assert result.exit_code == 0, result.output
    row = json.loads(result.stdout)
    assert {"model", "ms_median", "ms_p95", "fps", "stages", "people"} <= set(row) and row["ms_median"] > 0
    pose = write_tiny_model(model.with_name("pose.onnx"), per_person=True)
    result = run("bench", pose, "--detector", "none", "--people", "1,3", "--seconds", "0.05")
    assert result.exit_code == 0 and len(result.stdout.splitlines()) == 4


def test_models_are_listed_and_described() -> None:
    names = {row["name"] for row in json.loads(run("models", "--json").stdout)}
    assert {"rtmpose-t", "rtmdet-nano", "rtmpose-x"} <= names
    assert json.loads(run("models", "rtmpose-s", "--json").stdout)["skeleton"] == "coco"
    assert "skeleton: coco" in run("models", "rtmpose-s").stdout
    lines = run("models").stdout.splitlines()
    assert any(line.startswith("rtmpose-s ") and "17 keypoints (coco)" in line for line in lines)
    assert ["litepose-s", "litepose-s,", "litepose-s-crowdpose"] in [line.split() for line in lines]
    assert {"hrnet-w32", "hrnet-w48", "higherhrnet-w32", "deconvpose-resnet18-half"} <= names
    assert any("deconvpose-resnet18" in line and "arXiv 2111.04226" in line for line in lines)
    shown = json.loads(run("models", "deconvpose", "--json").stdout)
    assert "are not public" in shown["note"] and shown["recipe"]["model"] == "deconvpose"


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of default models as the package has it, made of tiny ones."""
    folder = tmp_path / "weights"
    folder.mkdir()
    files = [write_tiny_model(folder / "default-detector.onnx"), write_tiny_model(folder / "default-pose.onnx", True)]
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(sums))
    (folder / "default-pose.md").write_text("# The card\n")
    monkeypatch.setattr("edgepose.runtime.load.WEIGHTS", folder)
    return folder


def test_doctor_is_content_and_writes_nothing(weights: Path) -> None:
    before = sorted(weights.iterdir())
    result = run("doctor", "--json")
    report = json.loads(result.stdout)
    assert result.exit_code == 0 and report["ok"], result.stdout
    assert {"python", "onnxruntime", "threads", "model default-pose", "backend onnxruntime"} <= {
        check["what"] for check in report["checks"]
    }
    assert sorted(weights.iterdir()) == before
    assert "everything needed works" in run("doctor").stdout


@pytest.mark.parametrize("damage", ["change", "remove", "unlisted"])
def test_doctor_finds_damaged_weights(damage: str, weights: Path) -> None:
    path = weights / "default-pose.onnx"
    if damage == "change":
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    elif damage == "remove":
        path.unlink()
    else:
        (weights / "SHA256SUMS").unlink()
    result = run("doctor")
    assert result.exit_code == 1 and "BROKEN" in result.stdout
    assert "model default-pose: pip install" in result.stdout


def test_doctor_tries_what_it_praises(weights: Path) -> None:
    found = {check["what"]: check for check in json.loads(run("doctor", "--json").stdout)["checks"]}
    assert found["videos"]["ok"] and found["videos"]["found"].startswith("10 frames")
    assert found["pictures"]["ok"] and "GIF" in found["pictures"]["found"]
    assert found["overlay"]["ok"] and found["overlay"]["found"].startswith("1 people drawn")


def refuse(*words: object, **more: object) -> None:
    raise TypeError("got an unexpected keyword argument")


def lose_a_frame(path: Path) -> list[Frame]:
    return list(read_video(path))[:-1]


def swap_frames(path: Path) -> list[Frame]:
    frames = list(read_video(path))
    images = [frames[1].image, frames[0].image, *(frame.image for frame in frames[2:])]
    return [replace(frame, image=image) for frame, image in zip(frames, images, strict=True)]


@pytest.mark.parametrize(
    ("target", "broken", "what", "said"),
    [
        ("av.open", refuse, "videos", "TypeError: got an unexpected keyword argument"),
        ("edgepose.media.video.read_video", lose_a_frame, "videos", "10 frames written, 9 read"),
        ("edgepose.media.video.read_video", swap_frames, "videos", "frame 0 came back with pixels that differ"),
        ("cv2.imdecode", refuse, "pictures", "TypeError"),
        ("edgepose.media.images._decode", lambda data, name: np.zeros((180, 320, 3), np.uint8), "pictures", ".jpg"),
        ("edgepose.media.draw.draw", lambda image, poses: image, "overlay", "0 pixels of the file differ"),
        ("onnxruntime.InferenceSession", refuse, "backend onnxruntime", "TypeError"),
    ],
)
def test_doctor_finds_what_does_not_work(
    target: str, broken: object, what: str, said: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgepose.cli.doctor._extras", list)  # torch takes long
    monkeypatch.setattr(target, broken)
    result = run("doctor", "--json")
    found = {check["what"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1 and not json.loads(result.stdout)["ok"]
    assert found[what]["ok"] is False and said in found[what]["found"] and found[what]["cure"]
    if target == "cv2.imdecode":
        assert found["backend onnxruntime"]["ok"] is None, "it was not tried, and is not to blame"


@pytest.mark.parametrize("module", ["numpy", "cv2", "onnxruntime", "av", "rich", "typer"])
def test_doctor_never_praises_a_base_package_that_does_not_load(module: str) -> None:
    """Without typer there is no command; some versions of it cannot do without rich either. Both are named."""
    code = f"""
import sys
sys.modules[{module!r}] = None
from edgepose.cli import main
if {module!r} != "typer":
    from edgepose.cli import doctor
    doctor._extras, doctor._backend = list, lambda name: doctor.Check(name, None, "")  # torch takes long
sys.argv[1:] = ["doctor"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "everything needed works" not in done.stdout
    if module == "typer" or (module == "rich" and "Traceback" in done.stderr):
        assert module in done.stderr
    else:
        package = {"cv2": "opencv-python-headless"}.get(module, module)
        assert f"{package}: pip install" in done.stdout and "Traceback" not in done.stderr


@pytest.fixture
def requires(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines of the metadata of the edgepose that is installed."""
    lines = ["av>=17.1", "onnx>=1.17; extra == 'evaluate'", "pytest>=1; extra == 'dev'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda name: lines)
    return lines


def test_doctor_compares_versions_with_the_bounds(requires: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"av": "17.0.1", "onnx": "1.9.0"}
    monkeypatch.setattr("edgepose.cli.doctor._version", versions.get)
    checks = {check.what: check for check in (*_packages(), *_extras())}
    assert checks.keys() == {"av", "extra evaluate"}
    assert checks["av"].ok is False and checks["av"].found == "17.0.1, expected 17.1 or later"
    assert checks["av"].cure == "pip install --upgrade --force-reinstall 'av>=17.1'"
    assert checks["extra evaluate"].ok is None
    assert checks["extra evaluate"].found == (
        "incomplete, lacks onnx 1.17 (found 1.9.0); pip install 'edgepose[evaluate]'"
    )
    versions.update(av="17.1.0", onnx="1.20.0+cpu")
    assert [check.ok for check in (*_packages(), *_extras())] == [True, True]


def test_doctor_tells_of_every_extra(requires: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    requires[:] = ["torch>=2.6; extra == 'train'", "scipy>=1.14; extra == 'train'", "h11>=0.14; extra == 'serve'"]
    monkeypatch.setattr("edgepose.cli.doctor._import_error", lambda module: "")
    monkeypatch.setattr("edgepose.cli.doctor._version", {"torch": "2.13.0"}.get)
    assert [(check.what, check.ok, check.found) for check in _extras()] == [
        ("extra train", None, "incomplete, lacks scipy; pip install 'edgepose[train]'"),
        ("extra serve", None, "not installed; pip install 'edgepose[serve]'"),
    ]
    monkeypatch.setattr("edgepose.cli.doctor._import_error", lambda module: "OSError: libtorch.so is missing")
    train = _extras()[0]
    assert train.ok is False and train.found == "torch 2.13.0; OSError: libtorch.so is missing"
    assert train.cure == "pip install --upgrade --force-reinstall 'torch>=2.6'"


def test_the_card_of_a_model_in_the_package(weights: Path) -> None:
    assert run("models", "default-pose").stdout.startswith("# The card\n\nname: tiny\n")
    assert json.loads(run("models", "default-pose", "--json").stdout)["card"] == "# The card\n"
    assert run("models", "default").stdout == run("models", "default-pose").stdout


def test_demo_needs_nothing(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("demo")
    assert result.exit_code == 0, result.output
    _, overlay, results = result.stdout.splitlines()
    assert cv2.imread(overlay).shape == edgepose.example_image().shape == (360, 640, 3)
    assert Path(overlay).name == "example_overlay.png" and Path(results).name == "example.json"
    assert len(json.loads(Path(results).read_text())["people"]) == 1


def test_demo_of_a_picture_and_a_video(weights: Path, picture: Path, clip: Path, tmp_path: Path) -> None:
    for source, names in ((picture, {"photo_overlay.png", "photo.json"}), (clip, {"clip_overlay.mp4", "clip.jsonl"})):
        result = run("demo", source, "--out", tmp_path / "out" / source.stem, "--json")
        assert result.exit_code == 0, result.output
        assert {Path(json.loads(result.stdout)[key]).name for key in ("overlay", "results")} == names
        assert {path.name for path in (tmp_path / "out" / source.stem).iterdir()} == names
