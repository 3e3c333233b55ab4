"""A model inside other tools, in the form that each of them loads: one module a tool.

Each imports its tool when it is imported itself, and no other does. What one result becomes is in
`mrcnn.inference.Detections`, and Label Studio asks over HTTP: `mrcnn.serve.protocols`.
"""
