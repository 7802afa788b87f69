"""`edgepose search` on a drawn picture: super-net, search, winner, and what is done with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import pytest
from typer.testing import CliRunner

import edgepose
from edgepose.cli import app

torch = pytest.importorskip("torch")
pytest.importorskip("hotcoco")

from edgepose.cli.search import parse_macs  # noqa: E402
from edgepose.models.litepose import Architecture  # noqa: E402
from edgepose.models.macs import macs_true, parameters  # noqa: E402
from edgepose.models.supernet import by_importance  # noqa: E402
from edgepose.train import checkpoint  # noqa: E402
from edgepose.train.families import prepare  # noqa: E402
from edgepose.train.litepose.evolution import Evolution  # noqa: E402
from edgepose.train.litepose.search import Generation, Parts, Plan, Scores  # noqa: E402
from edgepose.train.litepose.search import search as searched  # noqa: E402
from edgepose.train.recipes import RECIPES, override  # noqa: E402
from edgepose.train.words import parse  # noqa: E402
from tests.people import four_people  # noqa: E402

pytestmark = pytest.mark.torch

WORDS = ["--population", "3", "--generations", "1", "--calibrate", "2", "--threads", "1", "--json"]


@pytest.fixture(scope="module", autouse=True)
def shallow() -> Any:
    """Networks of five blocks in place of 34; the search counts them so, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgepose.models.litepose.BLOCKS", (1, 2, 1, 1))
        patch.setattr("edgepose.train.litepose.space.BLOCKS", (1, 2, 1, 1))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data")
    image, poses = four_people((320, 180))
    assert cv2.imwrite(str(folder / "1.png"), image)
    people = []
    for i, (keypoints, (x1, y1, x2, y2)) in enumerate(zip(poses.keypoints, poses.boxes.tolist(), strict=True)):
        points = [float(v) for x, y in keypoints for v in (x, y, 2)]
        people.append({"id": i + 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [x1, y1, x2 - x1, y2 - y1],
                       "area": (x2 - x1) * (y2 - y1), "keypoints": points, "num_keypoints": 17})  # fmt: skip
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": 320, "height": 180}],
        "annotations": people,
        "categories": [{"id": 1, "name": "person", "keypoints": list(poses.skeleton.names)}],
    }
    (folder / "labels.json").write_text(json.dumps(labels))
    return f"{folder / 'labels.json'}:{folder}"


@pytest.fixture(scope="module")
def supernet(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of training, validated with statistics of its own."""
    out = tmp_path_factory.mktemp("supernet")
    words = ["epochs=2", "batch=2", "input_size=64x64", "sides=32,64", "mosaic=0.5", "precision=fp32", "threads=1"]
    result = CliRunner().invoke(
        app, ["train", "litepose-supernet", f"data={data}*2", f"val={data}", f"out={out}", "--json", *words]
    )
    assert result.exit_code == 0, result.output
    assert {"heat_4", "heat_2", "pull", "push", "AP"} <= json.loads(result.stdout).keys()
    return out / "last.safetensors"


def search(supernet: Path, data: str, out: Path, *words: str, macs: str = "20M") -> Any:
    options = ["--checkpoint", str(supernet), "--macs", macs, "--data", data, "--val", data, "--out", str(out)]
    return CliRunner().invoke(app, ["search", *options, *WORDS, *words])


def test_the_winner_is_a_network_of_its_own(supernet: Path, data: str, tmp_path: Path) -> None:
    result = search(supernet, data, tmp_path / "out")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found == json.loads((tmp_path / "out" / "search.json").read_text())
    assert [len(g["networks"]) for g in found["generations"]] == [3, 3] and found["budget"] == 20e6
    rows = {row["model"]: row for g in found["generations"] for row in g["networks"]}
    assert found["networks"] == len(rows) and all(row["macs"] <= 20e6 for row in rows.values())
    for a in found["front"]:
        assert not any(b["macs"] <= a["macs"] and b["AP"] > a["AP"] for b in rows.values())
    winner = found["winner"]
    assert winner["AP"] == max(row["AP"] for row in rows.values()) and {"AP50", "AR"} <= winner.keys()

    spec, network = checkpoint.network_of(winner["checkpoint"])
    side = winner["side"]
    assert spec.name == winner["model"] and spec.input_size == (side, side)
    stated = Architecture.named(winner["model"])
    assert stated is not None and stated.widths == network.widths and stated.side == side
    assert (winner["stem"], *winner["stages"], *winner["deconvolutions"]) == (
        stated.widths.stem, *stated.widths.stages, *stated.widths.deconvolutions
    )  # fmt: skip
    assert winner["parameters"] == parameters(network)
    assert winner["macs"] == rows[spec.name]["macs"] == macs_true(network, (side, side))
    _, whole = checkpoint.network_of(supernet)
    assert torch.equal(network.first[2].weight, whole.first[2].weight[: stated.widths.stem])
    assert not torch.equal(network.first[3].running_mean, whole.first[3].running_mean[: stated.widths.stem])

    words = [f"init={winner['checkpoint']}", "epochs=1", "batch=1", "precision=fp32", "threads=1", "lr=1e-9"]
    words += [f"data={data}", f"out={tmp_path / 'tuned'}", f"input_size={side}x{side}"]
    result = CliRunner().invoke(app, ["train", winner["model"], *words])
    assert result.exit_code == 0, result.output
    _, tuned = checkpoint.network_of(tmp_path / "tuned" / "last.safetensors")
    for key, value in tuned.named_parameters():
        torch.testing.assert_close(value, network.get_parameter(key), rtol=0, atol=1e-6)


def test_a_search_is_a_function_that_prints_nothing(
    supernet: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Generation] = []
    sets, _ = parse("search", [f"data={data}", f"val={data}", f"out={tmp_path}"])
    found = searched(Plan(supernet, sets, 20e6, Evolution(population=2, generations=1), 1), 1, told.append)
    assert capsys.readouterr() == ("", "")
    assert json.loads(json.dumps(found)) == json.loads((tmp_path / "search.json").read_text())
    assert [(g.number, g.looked_at, len(g.candidates)) for g in told] == [(0, 2, 2), (1, 4, 2)]
    assert told[-1].best.score == found["winner"]["AP"] and Path(found["winner"]["checkpoint"]).is_file()


def test_a_search_keeps_how_far_views_were_moved(supernet: Path, data: str, tmp_path: Path) -> None:
    """Nested fields too, in what calibrates the candidates and in the winner's own checkpoint."""
    parts, facts = checkpoint.load(supernet)
    moved = {"scale": [0.9, 1.1], "rotation": 5.0, "shift": 0.01, "cutout": 0.0, "half_body": 0.0}
    stated = moved | {"draw": "truncated", "colors": True}
    path = tmp_path / "moved.safetensors"
    checkpoint.save(path, parts, facts | {"recipe": facts["recipe"] | {"whole": moved}})
    plan = Plan(
        path, parse("x", [f"data={data}", f"val={data}", f"out={tmp_path}"])[0], 20e6, Evolution(population=4), 2
    )
    found = Parts.of(plan)
    assert found.calibration.samples.strength == found.options.whole
    assert dataclasses.asdict(found.options.whole) == stated | {"scale": (0.9, 1.1)}


def test_a_supernet_is_validated_with_statistics_of_its_own(data: str) -> None:
    recipe = override(RECIPES["litepose-supernet"], ["input_size=64x64", "sides=64"])
    task = prepare(recipe, parse("x", [f"data={data}"])[0].data)
    before = {key: value.clone() for key, value in task.network.state_dict().items()}
    shown = task.deployed(task.network).state_dict()
    assert all(torch.equal(before[key], value) for key, value in task.network.state_dict().items())
    assert {key for key in shown if not torch.equal(before[key], shown[key])} == {
        key for key in shown if key.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


def test_a_supernet_starts_from_a_backbone_in_order(supernet: Path, data: str, tmp_path: Path) -> None:
    words = [f"init={supernet}", "epochs=1", "batch=1", "precision=fp32", "threads=1", "lr=1e-9", "input_size=64x64"]
    words += [f"data={data}", f"out={tmp_path}", "sides=64"]
    result = CliRunner().invoke(app, ["train", "litepose-supernet", *words])
    assert result.exit_code == 0, result.output
    (_, whole), (_, network) = (checkpoint.network_of(p) for p in (supernet, tmp_path / "last.safetensors"))
    ordered = by_importance(dict(whole.state_dict()))["stage.1.1.point_conv.0.weight"]
    own = network.state_dict()
    assert torch.allclose(own["stage.1.1.point_conv.0.weight"], ordered, rtol=0, atol=1e-6)
    assert not torch.allclose(own["stage.1.1.point_conv.0.weight"], whole.state_dict()["stage.1.1.point_conv.0.weight"])
    assert not torch.allclose(own["deconv_raw.0.weight"], whole.state_dict()["deconv_raw.0.weight"])


def test_a_published_size_starts_from_the_supernet(supernet: Path, data: str, tmp_path: Path) -> None:
    words = [f"init={supernet}", "epochs=1", "batch=1", "precision=fp32", "threads=1", "lr=1e-9", "input_size=64x64"]
    result = CliRunner().invoke(app, ["train", "litepose-xs", f"data={data}", f"out={tmp_path}", *words])
    assert result.exit_code == 0, result.output
    _, whole = checkpoint.network_of(supernet)
    _, network = checkpoint.network_of(tmp_path / "last.safetensors")
    own, source = network.state_dict(), whole.state_dict()
    for key, alike in (("stage.3.0.point_conv.0.weight", True), ("deconv_raw.0.weight", False)):
        part = source[key][tuple(slice(side) for side in own[key].shape)]
        assert torch.allclose(own[key], part, rtol=0, atol=1e-6) is alike, key


def test_a_stopped_search_goes_on_to_the_same_end(
    supernet: Path, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = json.loads(search(supernet, data, tmp_path / "whole").stdout)
    figures, looked = Parts.figures, list[str]()

    def counted(parts: Parts, found: Architecture) -> dict[str, float]:
        if len(looked) == 2:
            raise KeyboardInterrupt
        looked.append(found.name)
        return figures(parts, found)

    monkeypatch.setattr(Parts, "figures", counted)
    assert search(supernet, data, tmp_path / "stopped").exit_code == 130
    scores = tmp_path / "stopped" / "scores.jsonl"
    assert len(scores.read_text().splitlines()) == 3 and not (tmp_path / "stopped" / "search.json").exists()
    with scores.open("a") as file:
        file.write('{"model": "litepose-64-8')  # it was being written
    looked.clear()
    monkeypatch.setattr(Parts, "figures", lambda parts, found: looked.append(found.name) or figures(parts, found))
    resumed = json.loads(search(supernet, data, tmp_path / "stopped").stdout)
    assert len(looked) == whole["networks"] - 2
    for found in (whole, resumed):
        found["winner"].pop("checkpoint")
    assert resumed == whole

    looked.clear()
    again = json.loads(search(supernet, data, tmp_path / "stopped").stdout)
    assert not looked and again["winner"]["model"] == whole["winner"]["model"]
    for word, value, named in (("--seed", "1", "seed"), ("--calibrate", "3", "calibrate")):
        result = search(supernet, data, tmp_path / "stopped", word, value)
        assert result.exit_code == 1 and f"measured with other ['{named}']" in result.stderr


@pytest.mark.parametrize(
    ("words", "macs", "status", "said"),
    [
        (
            [],
            "10K",
            1,
            "no network of the search costs 10000 multiply-accumulates or less: the smallest, litepose-32-8-",
        ),
        ([], "fast", 2, "expected multiply-accumulates, such as 886M"),
        (["--sides", "64,x"], "20M", 2, "expected sides such as 256,320"),
        (["--sides", "50"], "20M", 1, "50 pixels: expected a multiple of 32"),
        (["--population", "0"], "20M", 1, "population of 1 or more"),
        (["--calibrate", "0"], "20M", 1, "1 view or more"),
        (["--parents", "2"], "20M", 1, "parents=2.0, expected a share"),
        (["--checkpoint", "nothing.safetensors"], "20M", 1, "nothing.safetensors does not exist"),
        (["--device", "tpu"], "20M", 2, "neither cpu nor cuda"),
        (["--val", "nothing.json:x"], "20M", 1, "nothing.json does not exist"),
    ],
)
def test_wrong_words_are_named(
    words: list[str], macs: str, status: int, said: str, supernet: Path, data: str, tmp_path: Path
) -> None:
    result = search(supernet, data, tmp_path / "out", *words, macs=macs)
    assert result.exit_code == status and said in result.stderr
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists(), "nothing is begun"


def test_only_a_supernet_is_searched(supernet: Path, data: str, tmp_path: Path) -> None:
    words = ["--sides", "32", "--population", "2", "--generations", "0", "--parents", "0.5", "--mutants", "0.75"]
    words += ["--change", "0.2", "--seed", "7", "--calibrate", "1"]
    found = json.loads(search(supernet, data, tmp_path / "out", *words).stdout)
    assert found["settings"] == dataclasses.asdict(Evolution(2, 0, 0.5, 0.75, 0.2, 7))
    assert (found["sides"], found["calibrate"], found["seed"]) == ([32], 1, 7)
    assert {row["model"].split("-")[1] for row in found["generations"][0]["networks"]} == {"32"}
    result = search(Path(found["winner"]["checkpoint"]), data, tmp_path / "again")
    assert result.exit_code == 1 and "expected a super-net: edgepose train litepose-supernet" in result.stderr


@pytest.mark.slow
def test_the_winner_is_exported_and_loaded(supernet: Path, data: str, tmp_path: Path) -> None:
    winner = json.loads(search(supernet, data, tmp_path, "--generations", "0").stdout)["winner"]
    result = CliRunner().invoke(app, ["export", winner["checkpoint"], "--json"])
    assert result.exit_code == 0, result.output
    estimator = edgepose.load(json.loads(result.stdout)["path"])
    assert estimator.spec.name == winner["model"] and estimator.spec.input_size == (winner["side"], winner["side"])
    assert estimator(edgepose.example_image()).keypoints.shape[1:] == (17, 2)


def test_figures_of_another_supernet_are_not_mixed(tmp_path: Path) -> None:
    found = Architecture.named("litepose-64-8-8x8x8x8-8x8x8")
    assert found is not None
    path = tmp_path / "scores.jsonl"
    for value in (0.25, 0.75):  # the second is never asked for
        assert Scores(path, {"sha256": "a"}).remembering(lambda a, v=value: {"AP": v})(found) == {"AP": 0.25}
    with pytest.raises(ValueError, match=r"measured with other \['sha256'\]"):
        Scores(path, {"sha256": "b"})
    path.write_text('{"sha2')
    assert Scores(path, {"sha256": "b"}).remembering(lambda a: {"AP": 0.5})(found) == {"AP": 0.5}
    assert path.read_text().splitlines()[0] == '{"sha256": "b"}'


def test_budgets_are_read() -> None:
    assert [parse_macs(text) for text in ("886M", "1.2G", "1.2g", "5e8", "12K")] == [886e6, 1.2e9, 1.2e9, 5e8, 12e3]
    for text in ("", "G", "-1G", "0", "inf", "nan", "1.2T"):
        with pytest.raises(ValueError, match="expected multiply-accumulates"):
            parse_macs(text)
