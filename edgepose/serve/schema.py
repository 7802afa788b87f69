"""What goes in and out, as `/openapi.json` describes it; nothing is checked against this at run time."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from edgepose.serve.body import FIELDS, PICTURES


class Person(BaseModel):
    """One person."""

    id: int | None = Field(description="identity over the frames of a WebSocket; null for a single picture")
    score: float
    box: tuple[float, float, float, float] = Field(description="x1, y1, x2, y2 in pixels")
    keypoints: list[tuple[float, float, float]] = Field(description="x, y, score, in the order of the skeleton's names")


class Frame(BaseModel):
    """The people of one picture."""

    source: str = Field(description="the file's name where one was given")
    frame: int
    time: float | None = Field(description="seconds since the first frame of a WebSocket; null for a single picture")
    width: int
    height: int
    people: list[Person]


class Skeleton(BaseModel):
    """Keypoints by name, and pairs of their indices to draw."""

    name: str
    names: list[str]
    limbs: list[tuple[int, int]]


class Bounds(BaseModel):
    """The most that is accepted."""

    bytes: int
    pixels: int


class Least(BaseModel):
    """Scores from which people are in the answer, and from which keypoints are drawn by default."""

    person: float
    keypoint: float


class Model(BaseModel):
    """What runs here."""

    model: str
    models: list[str] = Field(description="all that are served, for ?model=")
    subject: str = Field(description="what it finds, such as person")
    version: str
    skeleton: Skeleton
    calibrated: bool = Field(description="whether scores are probabilities, .5 as likely right as not")
    least: Least
    limits: Bounds


class Problem(BaseModel):
    """Why a request was not answered, in one sentence."""

    detail: str


DESCRIPTION = """People and their keypoints in pictures.

Where several models are served, `?model=NAME` chooses one for `/predict`, `/frames` and `/model`, else it is the first.

Beside the routes below, a WebSocket at `/frames` takes binary messages, each one picture, and answers with the same
JSON as `/predict`, with identities, and with `dropped`, the number of frames so far that a newer one replaced before
their turn. It closes with code 1003 (a text message, AVIF or HEIC), 1007 (no picture), 1009 (too large) or 1013 (too
slow) and a reason. With a token, a browser asks for the protocols `edgepose` and `bearer.` + base64url of the token.
"""

REFUSED: dict[int, str] = {
    400: "The body ended early.",
    401: "No token, or a wrong one.",
    404: "No such model is served here, or there is no such path.",
    403: "Another site's page, a name that is not this server's, or a URL in place of a picture.",
    408: "The body took too long.",
    413: "Too many bytes or pixels.",
    415: "Not a picture by its content type.",
    422: "No picture, or a broken one.",
    429: "This client asks too often; Retry-After says when to come back.",
    503: "Too many requests at one time; Retry-After says when to come back.",
    504: "The answer took too long.",
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description} for status, description in REFUSED.items()
}

_BYTES = {"schema": {"type": "string", "format": "binary"}}
BODY: dict[str, Any] = {
    "required": True,
    "content": {
        **{kind: _BYTES for kind in PICTURES},
        "application/octet-stream": _BYTES,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "description": f"One picture, in the field {' or '.join(FIELDS)}.",
                "properties": {name: _BYTES["schema"] for name in FIELDS},
            }
        },
    },
}
