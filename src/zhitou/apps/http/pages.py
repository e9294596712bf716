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
        {
            "method": method.upper(),
            "path": path,
            "body": _body(operation, schema),
            "answer": _answer(operation, schema),
            **operation,
        }
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


def _answer(operation: dict[str, Any], schema: dict[str, Any]) -> str | None:
    """The example of the usual JSON answer, None if there is none."""
    content = operation["responses"].get("200", {}).get("content", {}).get("application/json", {})
    examples = _resolve(content.get("schema", {}), schema).get("examples")
    return json.dumps(examples[0], indent=2, ensure_ascii=False) if examples else None


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
        mark, inside = _inside(field, schema)
        rows += [{**inner, "name": f"{name}{mark}.{inner['name']}"} for inner in inside]
    return rows


def _inside(field: dict[str, Any], schema: dict[str, Any]) -> tuple[str, list[dict[str, Any]]]:
    """("[]" for a list, the fields of the object or of the list's objects); no fields for anything else."""
    mark, part = ("[]", field["items"]) if "items" in field else ("", field)
    for choice in part.get("anyOf", [part]):
        if "$ref" in choice:
            return mark, _fields(_resolve(choice, schema), schema)
    return mark, []


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
        return "object"
    if field.get("type") == "array":
        return "list of " + _type(field.get("items", {}))
    return str(field.get("format", field.get("type", "any")))
