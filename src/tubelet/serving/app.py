"""The routes."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from tubelet.errors import TubeletError
from tubelet.pages import HOUSE
from tubelet.serving import answers
from tubelet.serving.access import GONE, Access, answer
from tubelet.serving.events import Course, Following
from tubelet.serving.given import Net, given_video, named
from tubelet.serving.places import below
from tubelet.serving.problems import Problem, problem_of
from tubelet.serving.reference import BODY, page
from tubelet.serving.samples import SAMPLES, sample_of
from tubelet.serving.service import Service
from tubelet.timelines.rules import Rules

PAGE = Path(__file__).parent / "page"
T = TypeVar("T")

Model = Annotated[str | None, Query(description="The model's name; default: the first.")]
Top = Annotated[int, Query(ge=1, le=1000, description="How many answers of each head.")]


class Streamed(StreamingResponse):
    """Events; what belongs to them is let go when they end, however they end."""

    def __init__(self, events: AsyncGenerator[str], kept: AsyncExitStack) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self.events, self.kept = events, kept

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.shield(self.let_go())

    async def let_go(self) -> None:
        """End what makes the events."""
        await self.kept.aclose()
        await self.events.aclose()


async def while_there(request: Request, work: Awaitable[T]) -> T:
    """Work for a client, as long as it waits for the answer; its body must have been read.

    Raises:
        ClientDisconnect: if it went away; the work is cancelled.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.wait({working, leaving})


async def gone(request: Request) -> None:
    """Wait until the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_app(service: Service, net: Net | None = None) -> Access:
    """The server as an ASGI application, which starts and ends with the service.

    Args:
        service: everything behind the routes.
        net: how addresses of videos are looked up. None: by the system, public ones alone.
    """
    net = net or Net()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        await asyncio.to_thread(service.start)
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="Tubelet",
        version=version("tubelet"),
        description="What happens in a video.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    add_handlers(app)
    add_information(app, service)
    add_answers(app, service, net)
    add_swap(app, service)
    assets = add_page(app)
    return Access(app, service.settings, service.metrics, lambda path: path in assets)


def add_handlers(app: FastAPI) -> None:
    """All errors in one form."""

    @app.exception_handler(Problem)
    async def _(request: Request, error: Problem) -> Response:
        return answer(error)

    @app.exception_handler(TubeletError)
    async def _(request: Request, error: TubeletError) -> Response:
        return answer(problem_of(error))

    @app.exception_handler(ClientDisconnect)
    async def _(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=GONE)

    @app.exception_handler(TimeoutError)
    async def _(request: Request, error: TimeoutError) -> Response:
        return answer(Problem("timeout", "The time for a request is over; what waited was dropped."))

    @app.exception_handler(RequestValidationError)
    async def _(request: Request, error: RequestValidationError) -> Response:
        said = [f"{e['loc'][-1]}: {e['msg']}" for e in error.errors()]
        return answer(Problem("config", f"{'; '.join(said)}."))

    @app.exception_handler(HTTPException)
    async def _(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return answer(Problem("not_found", f"This route does not take {request.method}.", status=405))
        return answer(Problem("not_found", "There is nothing here; /docs lists what there is."))


def add_information(app: FastAPI, service: Service) -> None:
    """What can be asked for, and how the server is."""

    @app.get("/models", summary="Models, their heads and classes, and the limits of a request")
    async def models() -> dict[str, Any]:
        limits = service.settings.limits
        told = {n: getattr(limits, n) for n in ("bytes", "seconds", "pixels", "frames", "request_seconds")}
        return {"default": service.models.default, "models": service.models.describe(), "limits": told}

    @app.get("/samples", summary="Clips to try it on")
    async def samples() -> list[dict[str, Any]]:
        return [sample.to_dict() for sample in SAMPLES.values()]

    @app.get("/samples/{name}.mp4", summary="A sample clip", response_class=FileResponse)
    async def sample(name: str) -> Response:
        return FileResponse(sample_of(name).file, media_type="video/mp4")

    @app.get("/health", summary="Whether the server lives")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready", summary="Whether it takes new work")
    async def ready() -> Response:
        return JSONResponse({"ready": service.ready}, 200 if service.ready else 503)

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/docs", summary="This page", response_class=HTMLResponse)
    async def docs() -> Response:
        return HTMLResponse(page(app.openapi()))


def add_answers(app: FastAPI, service: Service, net: Net) -> None:
    """What a model says of a video."""

    @app.post("/predict", summary="What happens in a video", openapi_extra=BODY)
    async def predict(
        request: Request,
        model: Model = None,
        top: Top = 5,
        views: Annotated[str | None, Query(description="Clips x crops, such as 4x3.")] = None,
    ) -> dict[str, Any]:
        with service.models.using(model) as served, service.accept() as deadline:
            request.state.model = served.worker.name
            async with asyncio.timeout(deadline - time.monotonic()):
                given = await given_video(request, service, deadline, net)
                with given.file:
                    return await while_there(
                        request, answers.predict(service, served, given, views, top, deadline)
                    )

    @app.post("/explain", summary="Where a model looked, as a film", openapi_extra=BODY)
    async def explain(
        request: Request,
        model: Model = None,
        head: str | None = None,
        label: str | None = None,
        at_seconds: Annotated[float | None, Query(ge=0, allow_inf_nan=False)] = None,
    ) -> Response:
        with service.models.using(model) as served, service.accept() as deadline:
            request.state.model = served.worker.name
            async with asyncio.timeout(deadline - time.monotonic()):
                given = await given_video(request, service, deadline, net)
                with given.file:
                    asked = answers.Asked(head, label, at_seconds)
                    film, said = await while_there(
                        request, answers.explain(service, served, given, asked, deadline)
                    )
        plain = said.encode("ascii", "backslashreplace").decode()
        return Response(film, media_type="video/mp4", headers={"X-Tubelet-Class": plain})

    @app.post("/timeline", summary="What happens when, as server-sent events", openapi_extra=BODY)
    async def timeline(
        request: Request,
        model: Model = None,
        top: Top = 5,
        hop: Annotated[int | None, Query(ge=1, description="In frames of a clip.")] = None,
        window_seconds: Annotated[float | None, Query(gt=0, le=3600)] = None,
        respect_cuts: bool = False,
        smooth_seconds: Annotated[float | None, Query(gt=0, le=3600)] = None,
        enter: Annotated[float | None, Query(ge=0, le=1)] = None,
        least_seconds: Annotated[float, Query(ge=0, le=3600)] = 0.0,
    ) -> Response:
        smoothing: dict[str, Any] = (
            {"smooth": "mean", "smooth_seconds": smooth_seconds} if smooth_seconds else {}
        )
        rules = Rules(enter=enter, least_seconds=least_seconds, **smoothing)
        course = Course(
            rules=rules, hop=hop, window_seconds=window_seconds, respect_cuts=respect_cuts, top=top
        )
        async with AsyncExitStack() as stack:
            served = stack.enter_context(service.models.using(model))
            deadline = stack.enter_context(service.accept())
            request.state.model = served.worker.name
            async with asyncio.timeout(deadline - time.monotonic()):
                given = await given_video(request, service, deadline, net)
                stack.enter_context(given.file)
                following = Following(service, served, given, course, deadline)
                stack.push_async_callback(following.close)
                opened = await while_there(request, following.begin())
            return Streamed(following.events(opened), stack.pop_all())
        raise AssertionError("an exit stack passes on what is raised in it")


def add_swap(app: FastAPI, service: Service) -> None:
    """The operator's route."""

    @app.post("/models/{name}", summary="Exchange a model: JSON with its `path` below the folder of models")
    async def swap(request: Request, name: str) -> dict[str, Any]:
        root = service.settings.model_root
        if root is None:
            raise Problem(
                "refused", "Models are not exchanged here: the server was started without --model-root."
            )
        way, value = await named(request)
        if way != "path":
            raise Problem("config", "Name the new model by its `path` below the folder of models.")
        if service.draining:
            raise Problem("stopping", "The server is about to stop and takes no more.")
        await service.models.swap(name, below(root, value))
        return {"model": name, "path": value}


def add_page(app: FastAPI) -> frozenset[str]:
    """The page and what it is made of; their paths."""
    files = {f.name: f for f in (HOUSE, *PAGE.iterdir()) if f.is_file()}

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return FileResponse(PAGE / "index.html")

    def add(name: str, file: Path) -> None:
        @app.get(f"/{name}", include_in_schema=False)
        async def asset() -> Response:
            return FileResponse(file)

    for name, file in files.items():
        add(name, file)
    return frozenset({"/", "/health", "/ready", *(f"/{name}" for name in files)})
