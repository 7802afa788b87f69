"""A float16 form of an ONNX graph: half the size, and faster where the processor calculates with float16."""

from __future__ import annotations

from typing import Any

from edgepose.quantize.static import described


def half_form(model: Any) -> Any:
    """The graph (onnx.ModelProto, as `graph.plain` gives it) in float16, with inputs and outputs as they were."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    metadata = {entry.key: entry.value for entry in model.metadata_props}
    made = convert_float_to_float16(onnx.shape_inference.infer_shapes(model), keep_io_types=True)
    del made.graph.value_info[:]
    described(made, metadata)
    return made
