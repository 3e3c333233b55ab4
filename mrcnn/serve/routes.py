"""The paths of each protocol: what is read by `protocols/`, detected in, and written by them."""

import asyncio

from fastapi import APIRouter, Request, Response

from mrcnn import __version__
from mrcnn.serve.errors import RequestError, shown
from mrcnn.serve.metrics import CONTENT_TYPE
from mrcnn.serve.openapi import DETECT, INFER, PREDICT, TASKS
from mrcnn.serve.protocols import (
    detect,
    kserve,
    label_studio,
    multipart,
    outputs,
    tensorflow_serving,
)
from mrcnn.serve.service import VERSION


def tensorflow_serving_routes(service):
    """`/v1`, as TensorFlow Serving."""
    router = APIRouter(tags=["TensorFlow Serving"])

    @router.get("/v1/models/{name}")
    @router.get("/v1/models/{name}/versions/{version}")
    async def status(name: str, version: str = VERSION):
        """The state of the model."""
        _check_model(service, name, version)
        return tensorflow_serving.model_status(VERSION)

    @router.get("/v1/models/{name}/metadata")
    @router.get("/v1/models/{name}/versions/{version}/metadata")
    async def metadata(name: str, version: str = VERSION):
        """Signatures of the model: inputs and outputs."""
        _check_model(service, name, version)
        return tensorflow_serving.model_metadata(name, VERSION, service.declared_outputs)

    @router.post("/v1/models/{name}:predict", openapi_extra=PREDICT)
    @router.post("/v1/models/{name}/versions/{version}:predict", openapi_extra=PREDICT)
    async def predict(request: Request, name: str, version: str = VERSION):
        """Finds the objects in the pictures of a JSON body."""
        _check_model(service, name, version)
        async with service.admitted(request) as body:
            asked = await service.compute(tensorflow_serving.read_request, body)
            tensors = await _tensors(service, request, asked)
            answer = await service.compute(tensorflow_serving.write_answer, asked, tensors)
        return Response(answer, media_type="application/json")

    return router


def kserve_routes(service):
    """`/v2`, as KServe and Triton."""
    router = APIRouter(tags=["KServe v2"])

    @router.get("/v2")
    async def server():
        """What the server is."""
        return {"name": "mrcnn", "version": __version__, "extensions": ["binary_tensor_data"]}

    @router.get("/v2/health/live")
    async def live():
        """Whether the process answers. Needs no key."""
        return {"live": True}

    @router.get("/v2/health/ready")
    async def ready():
        """Whether pictures are accepted. Needs no key."""
        _check_ready(service)
        return {"ready": True}

    @router.get("/v2/models/{name}")
    @router.get("/v2/models/{name}/versions/{version}")
    async def metadata(name: str, version: str = VERSION):
        """Inputs and outputs of the model."""
        _check_model(service, name, version)
        return kserve.model_metadata(name, VERSION, service.declared_outputs())

    @router.get("/v2/models/{name}/ready")
    @router.get("/v2/models/{name}/versions/{version}/ready")
    async def model_ready(name: str, version: str = VERSION):
        """Whether the model accepts pictures."""
        _check_model(service, name, version)
        _check_ready(service)
        return {"name": name, "ready": True}

    @router.post("/v2/models/{name}/infer", openapi_extra=INFER)
    @router.post("/v2/models/{name}/versions/{version}/infer", openapi_extra=INFER)
    async def infer(request: Request, name: str, version: str = VERSION):
        """Finds the objects in the pictures of a tensor."""
        _check_model(service, name, version)
        async with service.admitted(request) as body:
            length = request.headers.get(kserve.LENGTH_HEADER)
            arguments = body, length, service.declared_outputs
            asked = await service.compute(kserve.read_request, *arguments)
            tensors = await _tensors(service, request, asked)
            arguments = asked, tensors, name, VERSION
            answer, length = await service.compute(kserve.write_answer, *arguments)
        if length is None:
            return Response(answer, media_type="application/json")
        headers = {kserve.LENGTH_HEADER: str(length)}
        return Response(answer, media_type="application/octet-stream", headers=headers)

    return router


def detect_routes(service):
    """`/detect`, for files."""
    router = APIRouter(tags=["files"])

    @router.post("/detect", openapi_extra=DETECT)
    async def detect_file(request: Request):
        """Finds the objects in one picture, a form's file or the body itself."""
        names, count = service.class_names, service.num_classes
        query = request.query_params.multi_items()
        options = detect.read_options(query, names, count)
        async with service.admitted(request) as body:
            content_type = request.headers.get("content-type")
            file, data = await service.compute(multipart.read_upload, body, content_type)
            (result,) = await _detected(service, request, [data])
            if isinstance(result, RequestError):
                raise result
            answer, kind = await service.compute(detect.write_answer, *result, file, options, count)
        return Response(answer, media_type=kind)

    return router


def label_studio_routes(service, pictures):
    """`/predict` and what else Label Studio asks of a backend.

    Args:
        service: `Service`.
        pictures: `mrcnn.serve.task_pictures.TaskPictures`.
    """
    router = APIRouter(tags=["Label Studio"])

    @router.get("/health")
    async def health():
        """Whether pictures are accepted."""
        _check_ready(service)
        return {"status": "UP", "model_class": service.name}

    @router.post("/setup")
    async def setup(request: Request):
        """Connects a project: refuses one whose labels the model cannot draw."""
        async with service.admitted(request) as body:
            await service.compute(label_studio.read_setup, body, service.has_masks)
        return {"model_version": service.name}

    @router.post("/predict", openapi_extra=TASKS)
    async def predict_tasks(request: Request):
        """Finds the objects in the pictures of tasks."""
        async with service.admitted(request) as body:
            arguments = body, service.has_masks
            tasks, control = await service.compute(label_studio.read_predict, *arguments)
            # As many pictures in memory as one batch has.
            predictions, size = [], min(service.batching.max_batch, service.limits.images)
            for start in range(0, len(tasks), size):
                part = tasks[start : start + size]
                predictions += await _predictions(service, request, pictures, part, start, control)
            answer = await service.compute(label_studio.write_predict, predictions)
        return Response(answer, media_type="application/json")

    @router.post("/webhook")
    async def webhook(request: Request):
        """Takes note of nothing; a training is refused."""
        async with service.admitted(request) as body:
            label_studio.read_event(body)
        return {"status": "ignored"}

    return router


async def _predictions(service, request, pictures, tasks, start, control):
    """The predictions of some tasks, the first of which is number `start` of its request."""
    fetched = [
        asyncio.to_thread(pictures.fetch, reference, task_id, f"tasks[{start + i}]")
        for i, (task_id, reference) in enumerate(tasks)
    ]
    predictions = await _detected(service, request, await asyncio.gather(*fetched))
    for i, result in enumerate(predictions):
        if isinstance(result, RequestError):
            reason = result.message.removeprefix(f"images[{i}]: ")
            named = reason if reason.startswith("tasks[") else f"tasks[{start + i}]: {reason}"
            predictions[i] = RequestError(result.status, named)
        else:
            arguments = *result, control, service.name
            predictions[i] = await service.compute(label_studio.prediction, *arguments)
    return predictions


def operation_routes(service):
    """`/metrics`."""
    router = APIRouter(tags=["operation"])

    @router.get("/metrics")
    async def metrics():
        """Counts for Prometheus."""
        text = service.metrics.text(service.batcher.waiting, service.in_flight)
        return Response(text, media_type=CONTENT_TYPE)

    return router


async def _detected(service, request, items):
    facts = request.scope["mrcnn"]
    facts["images"] = facts.get("images", 0) + len(items)
    return await service.detect(items)


async def _tensors(service, request, asked):
    """The Model Garden's tensors of the pictures of a request."""
    results = await _detected(service, request, asked.items)
    return await service.compute(outputs.model_outputs, results, asked.masks, service.limits)


def _check_model(service, name, version):
    if (name, version) != (service.name, VERSION):
        raise RequestError(
            404,
            f"expected the model {service.name!r}, version {VERSION}, received {shown(name)}, "
            f"version {shown(version)}; `mrcnn serve --name` gives another name",
        )


def _check_ready(service):
    if not service.batcher.running:
        raise RequestError(503, "the server is stopping; ask another one", 1)
