"""The routes."""

import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, Response

from tubelet.classifier import Classifier
from tubelet.errors import TubeletError
from tubelet.serving.problems import Problem, problem_of
from tubelet.serving.samples import SAMPLES, sample_of

PAGE = Path(__file__).parent / "page"


def describe(name: str, classifier: Classifier) -> dict[str, Any]:
    view = classifier.view
    rate = view.frames_per_second
    return {
        "name": name,
        "description": str(classifier.extra.get("description", "")),
        "heads": [
            {"name": h.name, "kind": h.kind, "classes": list(h.classes)} for h in classifier.labels.heads
        ],
        "frames": view.frames,
        "height": view.height,
        "width": view.width,
        "window_seconds": view.frames / rate if rate else None,
        "explains": True,
    }


def make_app(models: dict[str, Classifier]) -> FastAPI:
    app = FastAPI(title="Tubelet", docs_url=None, redoc_url=None)
    default = next(iter(models))

    @app.exception_handler(Problem)
    async def _(request: Request, problem: Problem) -> Response:
        return JSONResponse(problem.to_dict(), problem.status, problem.headers)

    @app.get("/models")
    async def _() -> Any:
        limits = {
            "bytes": 200_000_000,
            "seconds": 600,
            "pixels": 9_437_184,
            "frames": 36_000,
            "request_seconds": 120,
        }
        return {"default": default, "models": [describe(n, c) for n, c in models.items()], "limits": limits}

    @app.get("/samples")
    async def _() -> Any:
        return [s.to_dict() for s in SAMPLES.values()]

    @app.get("/samples/{name}.mp4")
    async def _(name: str) -> Response:
        return FileResponse(sample_of(name).file, media_type="video/mp4")

    @app.post("/predict")
    async def _(request: Request, model: str = default, top: int = 5, views: str | None = None) -> Any:
        if model not in models:
            raise Problem("not_found", f"There is no model {model!r}.")
        if request.headers.get("content-type", "").startswith("multipart/"):
            file: Any = (await request.form())["file"]
            data, shown = await file.read(), file.filename
        else:
            sample = sample_of((await request.json())["sample"])
            data, shown = sample.file.read_bytes(), sample.name
        try:
            with tempfile.NamedTemporaryFile() as out:
                out.write(data)
                out.flush()
                prediction = await run_in_threadpool(models[model].predict, out.name, views)
        except TubeletError as error:
            raise problem_of(error) from error
        return {**prediction.to_dict(top), "video": shown, "model": model, "seconds": {}}

    @app.get("/{asset:path}")
    async def _(asset: str) -> Response:
        known = {f.name: f for f in PAGE.iterdir()}
        file = known.get(asset or "index.html")
        if file is None:
            raise Problem("not_found", f"There is nothing at /{asset}.")
        csp = "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:"
        return FileResponse(file, headers={"Content-Security-Policy": csp})

    return app
