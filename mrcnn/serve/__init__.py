"""A model behind HTTP: the protocols of TensorFlow Serving and KServe, and a plain one for files.

`protocols/` are pure functions between bytes and pictures or results; `Batcher` joins the pictures
of several requests into one call of `detect`; only `app` knows fastapi and only `server` uvicorn.
"""
