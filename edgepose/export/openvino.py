"""torch -> OpenVINO's own files, by way of ONNX; outputs are compared before the files are kept.

They say what an exported ONNX file says, which OpenVINO reads too. Their weights lie beside the graph in a file that is
mapped into memory, and nothing is converted when they are opened.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from torch import nn

from edgepose.export import Report, checked_views, compared, export_onnx
from edgepose.media.files import atomic_path
from edgepose.models.deployed import TorchNetwork
from edgepose.spec import ModelSpec

ENDING = ".xml"


def export_openvino(
    spec: ModelSpec, network: nn.Module, out: Path, pictures: np.ndarray | None = None, half: bool = False
) -> Report:
    """Write `network` to `out` (NAME.xml, the spec inside) and NAME.bin beside it, and keep them only if OpenVINO then
    decodes, in single precision, to what torch decodes to; see `export.export_onnx` for the arguments and the limits.

    Raises ModuleNotFoundError where OpenVINO is missing.
    """
    from edgepose.runtime.session_openvino import OpenVinoSession, convert

    if out.suffix != ENDING:
        raise ValueError(f"cannot write {out}: expected a name that ends in {ENDING}, its .bin lies beside it")
    views = checked_views(spec, pictures)
    with (
        atomic_path(out) as graph,  # gets its name last: it is the one that is opened
        atomic_path(out.with_suffix(".bin")) as weights,
        tempfile.TemporaryDirectory(prefix="edgepose-openvino-") as folder,
    ):
        made = Path(folder) / "model.xml"
        export_onnx(spec, network, made.with_suffix(".onnx"), views)
        convert(made.with_suffix(".onnx"), made, half)
        report = compared(TorchNetwork(spec, network), OpenVinoSession(made, precision="f32"), views, out, half)
        graph.write_bytes(made.read_bytes())
        weights.write_bytes(made.with_suffix(".bin").read_bytes())
    return report
