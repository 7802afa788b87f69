"""torch -> ncnn, by way of TorchScript and pnnx; outputs are compared before the files are kept.

The graph takes float planes of blue, green and red in 0..255, which ncnn makes of a uint8 picture. The division by std
and the order of colors are in the first convolution, as in ONNX files, and the mean is subtracted in the graph where
there is one. Bottom-up networks give their raw maps: ncnn has no operator for what finds peaks in ONNX files, so the
codec does.
"""

from __future__ import annotations

import subprocess
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgepose.export import Report, checked_views, compared
from edgepose.media.files import atomic_path
from edgepose.models.deployed import Deployed, TorchNetwork, deployed_spec
from edgepose.spec import ModelSpec

ENDING = ".ncnn.param"


class Planes(nn.Module):
    """A deployed network for planes (1, 3, h, w) of 0..255 in the order of BGR."""

    def __init__(self, deployed: Deployed) -> None:
        super().__init__()
        self.network, self.mean = deployed.network, deployed.mean
        self.centered = bool(deployed.mean.any())

    def forward(self, planes: Tensor) -> tuple[Tensor, ...]:
        """The network's own outputs."""
        return tuple(self.network(planes - self.mean if self.centered else planes))


def export_ncnn(
    spec: ModelSpec, network: nn.Module, out: Path, pictures: np.ndarray | None = None, half: bool = False
) -> Report:
    """Write `network` to `out` (NAME.ncnn.param), NAME.ncnn.bin and NAME.ncnn.json beside it, and keep them only if
    ncnn then decodes to what torch decodes to; see `export.export_onnx` for the arguments and the limits.

    Raises ModuleNotFoundError where ncnn or pnnx is missing.
    """
    import pnnx

    from edgepose.runtime.session_ncnn import NcnnSession

    if not out.name.endswith(ENDING):
        raise ValueError(f"cannot write {out}: expected a name that ends in {ENDING}, its .bin and .json lie beside it")
    views = checked_views(spec, pictures)
    width, height = spec.input_size
    with atomic_path(out) as temporary, tempfile.TemporaryDirectory(prefix="edgepose-ncnn-") as name:
        made = Path(name) / "model.ncnn.param"
        script = Path(name) / "model.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that become constants, and of TorchScript's age
            planes = torch.zeros(1, 3, height, width)
            torch.jit.trace(Planes(Deployed(spec, network)).eval(), planes, check_trace=False).save(str(script))
        command = [pnnx.EXEC_PATH, script.name, f"inputshape=[1,3,{height},{width}]f32", f"fp16={int(half)}"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode or not made.is_file():
            said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            why = said[-1] if said else "it does not say why"
            raise ValueError(f"pnnx cannot convert {spec.name} to ncnn (status {done.returncode}): {why}")
        made.write_text(_with_size(made.read_text(encoding="utf-8"), width, height), encoding="utf-8")
        made.with_suffix(".json").write_text(deployed_spec(spec).to_json() + "\n", encoding="utf-8")
        report = compared(TorchNetwork(spec, network), NcnnSession(made), views, out, half)
        for suffix in (".bin", ".json"):
            with atomic_path(out.with_suffix(suffix)) as beside:
                beside.write_bytes(made.with_suffix(suffix).read_bytes())
        temporary.write_bytes(made.read_bytes())  # gets its name last: it is the one that is opened
    return report


def _with_size(text: str, width: int, height: int) -> str:
    """A .param file whose input says how large it is, which ncnn reads as a hint and the session checks."""
    lines = text.splitlines()
    (row,) = (i for i, line in enumerate(lines) if line.startswith("Input "))
    lines[row] += f" 0={width} 1={height} 2=3"
    return "\n".join(lines) + "\n"
