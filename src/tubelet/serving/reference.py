"""/docs: the routes as a page that needs neither network nor script."""

from html import escape
from typing import Any

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary"}},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "One of these.",
                    "properties": {
                        "path": {"type": "string", "description": "Below the server's --root."},
                        "url": {"type": "string", "description": "Of a host that the server allows."},
                        "sample": {"type": "string", "description": "A name of /samples."},
                    },
                    "minProperties": 1,
                    "maxProperties": 1,
                }
            },
        },
    }
}
"""How a video is given, for the description of a route."""
ERRORS = (
    'All errors are <code>{"error": {"kind": ..., "message": ...}}</code>: 400 config, 401 unauthorised, '
    "403 refused, 404 not_found, 413 too_large, 422 decode, 429 busy (with Retry-After), "
    "500 internal, 503 stopping, 504 timeout."
)


def page(schema: dict[str, Any]) -> str:
    """The description of the routes as HTML."""
    routes = "".join(
        route(method.upper(), path, told)
        for path, methods in schema["paths"].items()
        for method, told in methods.items()
    )
    title = f"{escape(schema['info']['title'])} {escape(schema['info']['version'])}: routes"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><link rel="stylesheet" href="page.css"></head><body><main><h1>{title}</h1>'
        f'<p>For programs: <a href="openapi.json">openapi.json</a>. {ERRORS}</p>{routes}</main></body></html>\n'
    )


def route(method: str, path: str, told: dict[str, Any]) -> str:
    """One route: what it is, how to ask, what it takes."""
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code></td><td>{escape(kind_of(p['schema']))}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in told.get("parameters", [])
    )
    table = f"<table><tr><th>name</th><th>is</th><th></th></tr>{parameters}</table>" if parameters else ""
    shell = ""
    if "requestBody" in told:
        shell = f"<pre>curl -F file=@my.mp4 http://127.0.0.1:8000{escape(path)}</pre>"
    summary = escape(told.get("summary", ""))
    return f"<section><h2><code>{method} {escape(path)}</code></h2><p>{summary}</p>{shell}{table}</section>"


def kind_of(schema: dict[str, Any]) -> str:
    """A type in words."""
    kinds = [kind_of(one) for one in schema.get("anyOf", [])] or [str(schema.get("type", "anything"))]
    words = " or ".join(kind for kind in kinds if kind != "null")
    default = schema.get("default")
    return words if default is None else f"{words}, default {default}"
