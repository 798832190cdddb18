"""/docs: the routes as a page that needs neither network nor script."""

from typing import Any

from tubelet.pages import page_template

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


def page(schema: dict[str, Any]) -> str:
    """The description of the routes as HTML."""
    return page_template("serving/reference.html.jinja", kind_of).render(schema=schema)


def kind_of(schema: dict[str, Any]) -> str:
    """A type in words."""
    kinds = [kind_of(one) for one in schema.get("anyOf", [])] or [str(schema.get("type", "anything"))]
    words = " or ".join(kind for kind in kinds if kind != "null")
    default = schema.get("default")
    return words if default is None else f"{words}, default {default}"
