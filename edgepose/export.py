"""torch -> ONNX with the spec inside and uint8 pictures in; outputs are compared before the file is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgepose.codec import codec_of
from edgepose.models import build
from edgepose.models.deployed import Deployed, TorchNetwork, deployed_spec
from edgepose.runtime.atomic import atomic_path
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint

OPSET = 18
TOLERANCE = 0.1  # mean distance of decoded keypoints or box corners, in pixels of the network's input


@dataclass(frozen=True)
class Report:
    """What was compared: n outputs decoded from `pictures`, mean and largest distance in input pixels."""

    path: Path
    pictures: int
    people: int
    mean: float
    largest: float


def network_of(path: Path) -> tuple[ModelSpec, nn.Module]:
    """The network that a checkpoint of `edgepose train` holds (the averaged weights where there are any)."""
    parts, facts = checkpoint.load(path)
    recipe, spec = facts["recipe"], ModelSpec.from_json(facts["spec"], str(path))
    _, network = build(recipe["model"], **_options(spec))
    network.load_state_dict(parts.get("average") or parts["network"])
    return spec, network.eval()


def _options(spec: ModelSpec) -> dict[str, object]:
    if spec.skeleton == "box":
        return {"input_size": spec.input_size, "classes": spec.codec_args.get("classes", 1)}
    return {"input_size": spec.input_size, "skeleton": spec.skeleton}


def export_onnx(
    spec: ModelSpec, network: nn.Module, out: Path, pictures: np.ndarray | None = None, half: bool = False
) -> Report:
    """Write `network` to `out` and keep it only if it decodes to what torch decodes to.

    Args:
        pictures: (N, h, w, 3) uint8 views to compare on; without them, smooth random ones, which say less.
        half: store weights as float16. They are widened again when the file is loaded, so speed is the same.

    Raises ValueError, and writes nothing, where keypoints or boxes differ by more than `TOLERANCE` pixels on average.
    """
    views = random_views(spec) if pictures is None else pictures
    module = Deployed(spec, network).eval()
    final = deployed_spec(spec)
    with atomic_path(out) as temporary:
        _write(module, final, temporary, half)
        session = Session(temporary.read_bytes(), final)
        report = _compare(TorchNetwork(spec, network), session, views, out)
        if report.mean > TOLERANCE or not np.isfinite(report.mean):
            raise ValueError(
                f"{out} was not written: the exported graph moves results by {report.mean:.3f} px on average, expected at "
                f"most {TOLERANCE}; keep float32 weights, or report the model"
            )
    return report


def random_views(spec: ModelSpec, count: int = 8) -> np.ndarray:
    """Smooth random pictures of the network's input size, the same every time."""
    rng = np.random.default_rng(0)
    width, height = spec.input_size
    coarse = rng.integers(0, 256, (count, height // 16, width // 16, 3)).astype(np.float32)
    planes = torch.from_numpy(coarse).permute(0, 3, 1, 2)
    smooth = nn.functional.interpolate(planes, size=(height, width), mode="bicubic").clamp(0, 255)
    return smooth.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def _write(module: Deployed, spec: ModelSpec, path: Path, half: bool) -> None:
    import onnx

    width, height = spec.input_size
    example = torch.zeros(2 if spec.per_person else 1, height, width, 3, dtype=torch.uint8)
    dynamic = {"images": {0: torch.export.Dim("batch", min=1, max=256)}} if spec.per_person else None
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        opset_version=OPSET,
        input_names=["images"],
        output_names=output_names(spec),
        dynamic_shapes=dynamic,
        verbose=False,
    )
    if program is None:
        raise ValueError(f"torch could not export {spec.name} to ONNX")
    model = program.model_proto
    slim(model.graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgepose", spec.to_json()
    if half:
        store_half(model.graph)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def output_names(spec: ModelSpec) -> list[str]:
    """Names of the graph's outputs, in the network's order."""
    if spec.codec == "boxes":
        return [f"{kind}_{stride}" for stride in spec.codec_args["strides"] for kind in ("logits", "distances")]
    return {"simcc": ["simcc_x", "simcc_y"], "heatmap": ["heatmaps"]}[spec.codec]


def slim(graph: Any) -> None:
    """Drop what only the exporter needed: source lines of every node and shapes of every inner tensor."""
    del graph.value_info[:]
    del graph.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")


def store_half(graph: Any) -> None:
    """Every large float32 constant becomes a float16 one with a Cast behind it, which loading folds back to float32."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 64:
            continue
        narrow = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + "_half")
        casts.append(helper.make_node("Cast", [narrow.name], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(narrow)
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(casts + nodes)


def _compare(reference: TorchNetwork, session: Session, views: np.ndarray, path: Path) -> Report:
    codec = codec_of(session.spec)
    distances: list[np.ndarray] = []
    for view in views:
        ours, theirs = (codec.decode(network(view[None])) for network in (reference, session))
        if len(ours) != len(theirs):
            # a score on the threshold may fall on either side; only people both found can be compared
            n = min(len(ours), len(theirs))
            ours, theirs = ours[np.arange(n)], theirs[np.arange(n)]
        points = (ours.keypoints, theirs.keypoints) if len(ours.skeleton) else (ours.boxes, theirs.boxes)
        apart = (points[0].astype(np.float64) - points[1]).reshape(-1, 2)
        distances.append(np.linalg.norm(apart, axis=-1))
    every = np.concatenate(distances)
    if not len(every):
        raise ValueError(f"{path} cannot be compared: neither torch nor the exported graph finds anything on {len(views)} views")
    return Report(path, len(views), len(every), float(every.mean()), float(every.max()))


def describe(report: Report) -> str:
    """One line for people."""
    return json.dumps({"path": str(report.path), "mean_px": round(report.mean, 4), "largest_px": round(report.largest, 4)})
