"""A model behind HTTP: as TensorFlow Serving, KServe and Label Studio ask, and plainly for files.

`protocols/` are pure functions between bytes and pictures or results; `Batcher` joins the pictures
of several requests into one call of `detect`; only `app` knows fastapi and only `server` uvicorn.
"""
