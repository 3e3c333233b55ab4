"""The app: routes, and what errors become."""

import asyncio
import contextlib

from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from mrcnn import __version__, serve
from mrcnn.serve import routes
from mrcnn.serve.access import Keys
from mrcnn.serve.errors import RequestError
from mrcnn.serve.middleware import ASSETS, Surroundings, error_response


def create_app(service, keys=None, task_pictures=None):
    """The ASGI app of a service; when it ends the service is stopped.

    Args:
        service: `mrcnn.serve.service.Service`.
        keys: `mrcnn.serve.access.Keys`, or None to let everybody in.
        task_pictures: `mrcnn.serve.task_pictures.TaskPictures` of the Label Studio whose backend
            this is, or None.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app):
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPIOffline(  # its page /docs fetches nothing from elsewhere
        title="mrcnn",
        description=serve.__doc__.split("\n")[0],
        version=__version__,
        lifespan=lifespan,
        redoc_url=None,
        static_url=ASSETS,
    )
    app.add_middleware(Surroundings, service=service, keys=keys or Keys())
    app.add_exception_handler(RequestError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_path)
    for add in (
        routes.tensorflow_serving_routes,
        routes.kserve_routes,
        routes.detect_routes,
        routes.operation_routes,
    ):
        app.include_router(add(service))
    if task_pictures is not None:
        app.include_router(routes.label_studio_routes(service, task_pictures))
    return app


def _refuse(request, error):
    request.scope["mrcnn"]["error"] = (
        error.message
    )  # some clients show their users the status alone
    return error_response(error.status, error.message, request.scope["mrcnn"], error.retry_after)


def _refuse_path(request, error):
    text = (
        f"{error.detail}: received {request.method} {request.url.path[:100]}; /docs shows the paths"
    )
    return error_response(error.status_code, text, request.scope["mrcnn"])
