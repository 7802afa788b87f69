"""torch -> ONNX with the spec inside and uint8 pictures in; outputs are compared before the file is kept."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from edgepose.codec import codec_of
from edgepose.codec.associative import sampled
from edgepose.codec.grouping import quarters
from edgepose.models import build
from edgepose.models.associative import Peaks
from edgepose.models.deployed import Deployed, TorchNetwork, deployed_spec
from edgepose.runtime.atomic import atomic_path
from edgepose.runtime.network import Network
from edgepose.runtime.session import Session
from edgepose.spec import ModelSpec
from edgepose.train import checkpoint
from edgepose.train.detection_loss import decode, flatten

OPSET = 18
TOLERANCE = 0.1  # mean distance of decoded keypoints, peaks or box corners, in pixels of the network's input
SCORE_TOLERANCE = 0.01  # mean difference of their scores
CELLS = 300  # of a detector or a bottom-up network and a view: the ones that torch scores best


@dataclass(frozen=True)
class Report:
    """What was compared: so many keypoints or box corners of so many pictures, with distances in input pixels."""

    path: Path
    pictures: int
    points: int
    mean: float
    largest: float
    scores: float  # mean difference of scores


def network_of(path: Path) -> tuple[ModelSpec, nn.Module]:
    """The network that a checkpoint of `edgepose train` holds (the averaged weights where there are any)."""
    parts, facts = checkpoint.load(path)
    then = ModelSpec.from_json(facts["spec"], str(path))
    classes = then.codec_args.get("classes", 1) if then.skeleton == "box" else 1
    # Today's spec: what a codec's arguments are called may have changed since.
    spec, network = build(facts["recipe"]["model"], skeleton=then.skeleton, input_size=then.input_size, classes=classes)
    network.load_state_dict(parts.get("average") or parts["network"])
    return spec, network.eval()


def export_onnx(
    spec: ModelSpec, network: nn.Module, out: Path, pictures: np.ndarray | None = None, half: bool = False
) -> Report:
    """Write `network` to `out` and keep it only if it decodes to what torch decodes to.

    Args:
        pictures: (N, h, w, 3) uint8 views to compare on; without them, smooth random ones, which say less.
        half: store weights as float16. They are widened again when the file is loaded, so speed is the same.

    Raises ValueError, and writes nothing, where keypoints or boxes differ by more than `TOLERANCE` pixels on average,
    or their scores by more than `SCORE_TOLERANCE`.
    """
    views = checked_views(spec, pictures)
    module = Deployed(spec, network).eval()
    final = deployed_spec(spec)
    with atomic_path(out) as temporary:
        _write(module, final, temporary, half)
        session = Session(temporary.read_bytes())  # as a user opens it: with the spec inside
        return compared(TorchNetwork(spec, network), session, views, out, half)


def checked_views(spec: ModelSpec, pictures: np.ndarray | None) -> np.ndarray:
    """Pictures to compare on, (N, h, w, 3) uint8; without any, random ones."""
    views = random_views(spec) if pictures is None else pictures
    width, height = spec.input_size
    if views.dtype != np.uint8 or views.shape[1:] != (height, width, 3) or len(views) == 0:
        raise ValueError(f"expected pictures (N, {height}, {width}, 3) uint8, got {views.dtype} {views.shape}")
    return views


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
    # In memory the three planes lie apart, though the shape says otherwise: global pooling of channels-last tensors is
    # exported as index arithmetic that is tied to the batch.
    example = torch.zeros(2 if spec.per_person else 1, 3, height, width, dtype=torch.uint8).permute(0, 2, 3, 1)
    dynamic = {"images": {0: torch.export.Dim("batch", min=1, max=256)}} if spec.per_person else None
    try:
        with _quiet():
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
    except torch.onnx.OnnxExporterError as error:  # whose message is a page long; the cause says what it is
        cause = str(error.__cause__ or error).strip().partition("\n")[0]
        raise ValueError(f"torch cannot export {spec.name} to ONNX: {cause}") from error
    if program is None:
        raise ValueError(f"torch cannot export {spec.name} to ONNX and does not say why")
    model = program.model_proto
    slim(model.graph)
    entry = model.metadata_props.add()
    entry.key, entry.value = "edgepose", spec.to_json()
    if half:
        store_half(model.graph)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what torch's exporter says of torch, and of packages that no network here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def output_names(spec: ModelSpec) -> list[str]:
    """Names of the graph's outputs, in the network's order."""
    if spec.codec == "boxes":
        return [f"{kind}_{stride}" for stride in spec.codec_args["strides"] for kind in ("logits", "distances")]
    if spec.codec == "anchors":
        return [f"anchors_{stride}" for stride in spec.codec_args["strides"]]
    names = {
        "simcc": ["simcc_x", "simcc_y"],
        "heatmap": ["heatmaps"],
        "distribution": ["heatmaps"],
        "associative": ["heatmaps", "tags", "peak_scores", "peak_cells"],
    }
    return names[spec.codec]


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


def compared(reference: TorchNetwork, session: Network, views: np.ndarray, out: Path, half: bool) -> Report:
    """How far the results of a file that is to become `out` are from torch's; ValueError where they are too far."""
    if session.spec.per_person:  # all at once, since the batch is free
        distances, scores = _people_apart(codec_of(session.spec), reference(views), session(views))
    else:
        apart = {"associative": _peaks_apart, "anchors": _anchors_apart}.get(session.spec.codec, _boxes_apart)
        pairs = [apart(codec_of(session.spec), reference(view[None]), session(view[None])) for view in views]
        distances, scores = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    mean, largest = float(distances.mean()), float(distances.max())
    report = Report(out, len(views), len(distances), mean, largest, float(scores.mean()))
    if not (report.mean <= TOLERANCE and report.scores <= SCORE_TOLERANCE):  # NaN is refused too
        raise ValueError(
            f"{out} was not written: the exported graph moves results by {report.mean:.3f} px and scores by "
            f"{report.scores:.3f} on average, expected at most {TOLERANCE} px and {SCORE_TOLERANCE}: "
            f"{'keep float32 weights' if half else 'look at the weights, or report the model'}"
        )
    return report


def _people_apart(codec: Any, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distances of keypoints in pixels, differences of their scores."""
    a, b = codec.decode(ours), codec.decode(theirs)
    apart = np.linalg.norm(a.keypoints.astype(np.float64) - b.keypoints, axis=-1)
    return apart.ravel(), np.abs(a.scores - b.scores).ravel()


def _boxes_apart(codec: Any, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distances of box corners in pixels, differences of scores, cell by cell before suppression.

    After it, the last digit would decide which of two equally good boxes of one person there is to compare.
    """
    (logits, distances, cells), (other_logits, other_distances, _) = (
        flatten([torch.from_numpy(output) for output in outputs], codec) for outputs in (ours, theirs)
    )
    scores, other_scores = (values[0, :, codec.person].sigmoid() for values in (logits, other_logits))
    best = scores.topk(min(CELLS, len(cells))).indices
    boxes, other = (decode(values[0, best], cells[best]) for values in (distances, other_distances))  # (n, 4) each
    apart = (boxes - other).reshape(-1, 2).norm(dim=-1)
    return apart.numpy(), (scores - other_scores)[best].abs().numpy()


def _peaks_apart(codec: Any, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distances of keypoints in pixels at torch's peaks, and differences of heat, of tags and of the scores of peaks.

    Before grouping: after it, the last digit would decide which of two equally good people a keypoint belongs to.
    """
    (heat, tags), (other_heat, other_tags) = codec.maps(ours), codec.maps(theirs)
    if len(theirs) == 2:  # of a graph that leaves the peaks to the codec
        maps = [torch.from_numpy(output) for output in theirs]
        theirs = [output.numpy() for output in Peaks(codec.people, codec.window)(*maps)]
    k, (height, width) = len(heat), heat.shape[1:]
    best = np.argsort(-ours[2].ravel(), kind="stable")[:CELLS]
    joint, cells = np.divmod(best, ours[2].shape[2])[0], ours[3].reshape(-1)[best].astype(np.int64)
    y, x = np.divmod(cells, width)
    moved = quarters(heat, joint, x, y) - quarters(other_heat, joint, x, y)  # (n, 2) cells
    apart = np.linalg.norm(moved, axis=-1) * codec.input_size[0] / width
    found, other_found = (
        sampled(planes, x[None].repeat(k, 0), y[None].repeat(k, 0), (height, width)) for planes in (tags, other_tags)
    )
    own = joint, np.arange(len(best))
    differences = (
        np.abs(heat[joint, y, x] - other_heat[joint, y, x]),
        np.abs(found[own] - other_found[own]).ravel(),
        np.abs(np.sort(ours[2].ravel()) - np.sort(theirs[2].ravel())),  # equal ones may change places
    )
    return apart, np.concatenate(differences)


def _anchors_apart(codec: Any, ours: list[np.ndarray], theirs: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distances of keypoints and box corners in pixels, differences of scores, cell by cell before suppression."""
    a, b = codec.everywhere(ours), codec.everywhere(theirs)
    best = np.argsort(-a.person_scores, kind="stable")[:CELLS]
    a, b = a[best], b[best]
    points, others = (np.concatenate([p.keypoints, p.boxes.reshape(-1, 2, 2)], axis=1) for p in (a, b))
    apart = np.linalg.norm(points.astype(np.float64) - others, axis=-1)
    sure, other = (np.concatenate([p.scores, p.person_scores[:, None]], axis=1) for p in (a, b))
    return apart.ravel(), np.abs(sure - other).ravel()
