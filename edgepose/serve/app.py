"""The routes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware

import edgepose
from edgepose.runtime.estimator import Estimator
from edgepose.serve.body import check_media_type, held_body, media_type, picture_in_form, read_body
from edgepose.serve.decoder import Decoders
from edgepose.serve.frames import talk
from edgepose.serve.guard import Guard, authorised, paced
from edgepose.serve.limits import Access, Limits
from edgepose.serve.metrics import CONTENT_TYPE
from edgepose.serve.schema import BODY, DESCRIPTION, PROBLEMS, Frame, Model
from edgepose.serve.service import Service

STATIC = Path(__file__).resolve().parent / "static"
PAGE = {  # path -> file and its type, which is not left to the machine's tables
    "/": ("preview.html", "text/html"),
    "/preview.css": ("preview.css", "text/css"),
    "/preview.js": ("preview.js", "text/javascript"),
    "/draw.js": ("draw.js", "text/javascript"),
    "/results.js": ("results.js", "text/javascript"),
}
ROUTES = frozenset((*PAGE, "/predict", "/frames", "/model", "/healthz", "/metrics", "/openapi.json"))

log = logging.getLogger("edgepose.serve")


def create_app(
    estimator: Estimator | Mapping[str, Estimator],
    limits: Limits | None = None,
    access: Access | None = None,
    *,
    clock: Callable[[], float] = monotonic,
    decoders: Decoders | None = None,
) -> FastAPI:
    """The server of one estimator, or of several by name, as an ASGI application.

    Its `state.service` is what the routes share.
    """
    service = Service(estimator, limits or Limits(), access or Access(), clock, decoders)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        if not service.stop():
            log.warning("the model is still busy with a picture; it is left to end with the process")

    app = FastAPI(
        title="edgepose",
        version=edgepose.__version__,
        description=DESCRIPTION,
        docs_url=None,  # these pages load scripts of other sites
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(_people(service), dependencies=[Depends(authorised(service)), Depends(paced(service))])
    app.include_router(_facts(service, app), dependencies=[Depends(authorised(service))])
    app.include_router(_open(service))
    if service.access.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(Guard, service=service, routes=ROUTES)
    return app


def _people(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/predict", response_model=Frame, responses=PROBLEMS, openapi_extra={"requestBody": BODY}, tags=["people"]
    )
    async def predict(request: Request, model: str | None = None) -> Response:
        """The people of one picture: its bytes as the body, or in a form's field."""
        estimator = service.chosen(model)
        check_media_type(request)
        with held_body(service.bodies) as room:
            body = await read_body(request, service.limits, room)
            with service.requests.one():  # who sends slowly takes nobody's place
                return Response(await _answer(service, request, body, estimator), media_type="application/json")

    @router.websocket("/frames")
    async def frames(socket: WebSocket, model: str | None = None) -> None:
        await talk(socket, service, service.chosen(model))

    return router


async def _answer(service: Service, request: Request, body: bytes, estimator: Estimator) -> bytes:
    if media_type(request) == "multipart/form-data":
        content_type = request.headers["content-type"]
        return await service.picture(*await asyncio.to_thread(picture_in_form, body, content_type), estimator)
    return await service.picture(body, "image", estimator)


def _facts(service: Service, app: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/model", response_model=Model, tags=["facts"])
    async def model(model: str | None = None) -> dict[str, Any]:
        """What runs here: keypoints by name, limbs to draw, limits."""
        return service.description(model)

    @router.get("/metrics", tags=["facts"], response_class=Response)
    async def metrics() -> Response:
        """Counters and times, in Prometheus' text form."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE)

    @router.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return app.openapi()

    return router


def _open(service: Service) -> APIRouter:
    """What needs no token: it tells nothing."""
    router = APIRouter()

    @router.get("/healthz", tags=["facts"])
    async def healthz() -> Response:
        """200 while the model works; 503 when one picture has kept it far too long."""
        stuck = service.stuck()
        if stuck:
            return JSONResponse({"detail": f"the model has been busy with one picture for {stuck:.0f} s"}, 503)
        return JSONResponse({"status": "ok"})

    files = {path: (STATIC / name).read_bytes() for path, (name, _) in PAGE.items()}  # a few kilobytes

    async def page(path: str) -> Response:
        return Response(files[path], media_type=PAGE[path][1], headers={"Cache-Control": "no-cache"})

    for path in PAGE:
        router.add_api_route(path, partial(page, path), include_in_schema=False)
    return router
