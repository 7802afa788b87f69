"""Files that are known and not read: what they are, and what to do instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HDF5 = b"\x89HDF"
COCO_INSTEAD = "export it as COCO keypoints"


def named(content: Any) -> str | None:
    """What JSON of another tool is, and what to do; None where that is not known."""
    if isinstance(content, list):
        first = content[0] if content else None
        if isinstance(first, dict) and any(_is_minimal(value) for value in first.values()):
            return "Label Studio's JSON-MIN, which does not say whose each point is: export it as JSON"
        return None
    if not isinstance(content, dict):
        return None
    keys = set(content)
    if "dm_format_version" in keys or {"infos", "categories", "items"} <= keys:
        return f"Datumaro's own form: {COCO_INSTEAD} (`datum convert -f coco_person_keypoints`)"
    if {"objects", "size"} <= keys or (isinstance(content.get("classes"), list) and {"tags", "classes"} <= keys):
        return f"Supervisely's own form: {COCO_INSTEAD} (its app `Export to COCO keypoints`)"
    if isinstance(content.get("classes"), list) and any(
        "shape" in c for c in content["classes"] if isinstance(c, dict)
    ):
        return f"Supervisely's meta.json: {COCO_INSTEAD} (its app `Export to COCO keypoints`)"
    values = content.get("_via_img_metadata", content)
    regions = list(values.values())[:1] if isinstance(values, dict) else []
    if any(key.startswith("_via_") for key in keys) or any(isinstance(v, dict) and "regions" in v for v in regions):
        return "VIA's own form: export its annotations in COCO's form, with a name for every keypoint"
    if "people" in keys and "version" in keys:
        return "OpenPose's form, which names no picture: it is a result, not labels"
    if "people" in keys and "source" in keys:
        return "a line of `edgepose predict --json`: write results with --format coco-labels to use them as labels"
    if {"data", "annotations"} <= keys and isinstance(content["data"], dict):
        return "one task of Label Studio: export the whole project as JSON"
    if "datasets" in keys or {"info", "labels", "frames"} <= keys:
        return f"a project of another tool: {COCO_INSTEAD}"
    return None


def of_hdf5(path: str | Path) -> str:
    """What an HDF5 file is: DeepLabCut's tables and SLEAP's projects."""
    path = Path(path)
    if path.suffix.lower() in (".slp", ".pkg"):
        return f"{path} is a project of SLEAP: {COCO_INSTEAD}"
    beside = path.with_suffix(".csv")
    there = f": {beside.name} beside it is read" if beside.is_file() else ": give the .csv that lies beside it"
    return f"{path} is an HDF5 file; such files can carry code that runs when they are opened, and are not read{there}"


def _is_minimal(value: Any) -> bool:
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and ("keypointlabels" in first or "rectanglelabels" in first)
