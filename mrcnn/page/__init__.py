"""A page in the browser: what a model finds, why, and what it should have found.

What is shown is computed by plain functions; only `layout`, `events` and `server` know gradio.

- `models`, `pictures`, `clips`: a model as the page needs it; pictures, samples and videos.
- `views`, `stage_views`, `comparing`: what is seen of results, of the stages, of two models.
- `correcting`, `collecting`: masks and classes that a person corrects, and the files of them.
- `session`: what one visitor has open.
"""
