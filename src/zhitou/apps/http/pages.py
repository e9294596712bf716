"""The few pages the door draws itself: why an ad is shown, the description of the routes, a welcome."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from zhitou.apps.http.problems import KINDS

_TEMPLATES = Environment(
    loader=PackageLoader("zhitou.apps.http", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def why_page(reasons: dict[str, Any]) -> bytes:
    """The explanation as a page; all text is escaped."""
    return _render("why.html", sentences=reasons["sentences"])


def welcome_page(detail: str) -> bytes:
    """What stands at `/` until there is a report."""
    return _render("welcome.html", detail=detail)


def docs_page(schema: dict[str, Any]) -> bytes:
    """The routes of an OpenAPI description, with their fields, examples and problems."""
    operations = [
        {"method": method.upper(), "path": path, "body": _body(operation, schema), **operation}
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    return _render("docs.html", info=schema["info"], operations=operations, kinds=KINDS)


def _render(name: str, **values: Any) -> bytes:
    return _TEMPLATES.get_template(name).render(**values).encode()


def _body(operation: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The fields and the example of a JSON body, None if the operation takes none."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    model = _resolve(content["schema"], schema)
    example = model.get("examples", [{}])[0]
    return {"fields": _fields(model, schema), "example": json.dumps(example, indent=2, ensure_ascii=False)}


def _fields(model: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    needed = model.get("required", [])
    rows = []
    for name, field in model["properties"].items():
        rows.append(
            {
                "name": name,
                "needed": name in needed,
                "type": _type(field),
                "description": field.get("description", ""),
            }
        )
        for inner in _items(field, schema):
            rows.append({**inner, "name": f"{name}[].{inner['name']}"})
    return rows


def _items(field: dict[str, Any], schema: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of the objects in a list."""
    items = field.get("items", {})
    return _fields(_resolve(items, schema), schema) if "$ref" in items else []


def _resolve(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        return dict(schema["components"]["schemas"][part["$ref"].rpartition("/")[2]])
    return part


def _type(field: dict[str, Any]) -> str:
    """The type of a field in a few words."""
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_type(part) for part in field["anyOf"]))
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2])
    if field.get("type") == "array":
        return "list of " + _type(field.get("items", {}))
    return str(field.get("format", field.get("type", "any")))
