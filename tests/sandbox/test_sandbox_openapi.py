"""Every answer of the sandbox is one that the official OpenAPI document allows, strictly.

The file sorts last in this folder on purpose only for width: it looks at whatever the shared sandbox was asked so
far, and asks for each operation itself, so that it says the same when run alone.
"""
