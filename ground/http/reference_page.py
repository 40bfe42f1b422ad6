"""The description of the API as one page that works without internet: plain HTML out of the OpenAPI document.

No script and no font of others: the page is what the station's content security policy allows, can be printed
and read with a screen reader.
"""

import html
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from ground.accounts.roles import Permission
from ground.http.gate import needs, permission_of

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; }
h2 { border-bottom: 1px solid; margin-top: 3rem; }
article { margin: 2rem 0; }
h3 { font-size: 1rem; margin-bottom: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; }
.method { font-weight: bold; text-transform: uppercase; }
.needs { font-size: .875rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid GrayText; padding: .25rem .5rem; text-align: left; vertical-align: top; }
nav ul { columns: 20rem; }
a:focus-visible { outline: 3px solid Highlight; }
"""


def add_reference_page(app: FastAPI) -> None:
    """/api/docs with its style; made at the first question, when all routes are there."""
    made: dict[str, str] = {}

    @app.get("/api/docs", include_in_schema=False, response_class=HTMLResponse)
    @needs(Permission.SEE_PICTURE)
    def page() -> Response:
        """The API for people."""
        if "page" not in made:
            made["page"] = reference_page(app.openapi(), _permissions(app))
        return HTMLResponse(made["page"])

    @app.get("/api/docs.css", include_in_schema=False)
    @needs(Permission.PUBLIC)
    def style() -> Response:
        """How the page looks."""
        return Response(_STYLE, media_type="text/css")


def reference_page(tree: Mapping[str, Any], permissions: Mapping[tuple[str, str], str]) -> str:
    """The page of an OpenAPI document; `permissions` by path and method (small letters)."""
    groups: dict[str, list[str]] = {}
    for path, method, operation in _operations(tree):
        group = (operation.get("tags") or ["other"])[0]
        shown = _operation(path, method, operation, permissions.get((path, method)))
        groups.setdefault(group, []).append(shown)
    models = tree.get("components", {}).get("schemas", {})
    info = tree.get("info", {})
    leads = "".join(f'<li><a href="#{_text(name)}">{_text(name)}</a></li>' for name in [*groups, "models"])
    parts = [f'<h2 id="{_text(name)}">{_text(name)}</h2>{"".join(found)}' for name, found in groups.items()]
    parts.append('<h2 id="models">models</h2>' + "".join(_model(name, one) for name, one in models.items()))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(info.get('title', ''))}: API</title>"
        '<link rel="stylesheet" href="/api/docs.css"></head><body><main>'
        f"<h1>{_text(info.get('title', ''))}: API</h1><p>{_text(info.get('description', ''))} "
        'The same for programs: <a href="/openapi.json">openapi.json</a>. '
        "Programs send a key: <code>Authorization: Bearer swkey1_...</code></p>"
        f'<nav aria-label="groups"><ul>{leads}</ul></nav>{"".join(parts)}</main></body></html>'
    )


def _operations(tree: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in tree.get("paths", {}).items():
        for method in _METHODS:
            if method in methods:
                yield path, method, methods[method]


def _operation(path: str, method: str, operation: Mapping[str, Any], permission: str | None) -> str:
    rows = "".join(_parameter(one) for one in operation.get("parameters", []))
    table = (
        f"<table><thead><tr><th>parameter</th><th>in</th><th>type</th><th>meaning</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    body = operation.get("requestBody", {}).get("content", {})
    sends = "".join(
        f"<p>Body: {_kind(one.get('schema', {}))} ({_text(name)})</p>" for name, one in body.items()
    )
    answers = "".join(
        f"<li><code>{_text(code)}</code> {_text(one.get('description', ''))} {_contents(one)}</li>"
        for code, one in operation.get("responses", {}).items()
    )
    said = f'<p class="needs">Needs: {_text(permission)}</p>' if permission is not None else ""
    return (
        f'<article><h3><span class="method">{method}</span> <code>{_text(path)}</code></h3>'
        f"<p>{_text(operation.get('description') or operation.get('summary', ''))}</p>{said}{table}{sends}"
        f"<ul>{answers}</ul></article>"
    )


def _parameter(one: Mapping[str, Any]) -> str:
    schema = one.get("schema", {})
    default = f" = {_text(schema['default'])}" if schema.get("default") is not None else ""
    must = " (required)" if one.get("required") else ""
    return (
        f"<tr><td><code>{_text(one['name'])}</code>{must}</td><td>{_text(one['in'])}</td>"
        f"<td>{_kind(schema)}{default}</td><td>{_text(one.get('description', ''))}</td></tr>"
    )


def _contents(answer: Mapping[str, Any]) -> str:
    found = [
        _text(name) + (f": {_kind(one['schema'])}" if one.get("schema") else "")
        for name, one in answer.get("content", {}).items()
    ]
    return f"({'; '.join(found)})" if found else ""


def _model(name: str, schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{_text(field)}</code></td><td>{_kind(one)}</td>"
        f"<td>{_text(one.get('description', ''))}</td></tr>"
        for field, one in schema.get("properties", {}).items()
    )
    table = f"<table><tbody>{rows}</tbody></table>" if rows else f"<p>{_kind(schema)}</p>"
    return (
        f'<article id="model-{_text(name)}"><h3><code>{_text(name)}</code></h3>'
        f"<p>{_text(schema.get('description', ''))}</p>{table}</article>"
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """A type in words, with a link where it is a model."""
    if "$ref" in schema:
        name = _text(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#model-{name}">{name}</a>'
    for joined in ("anyOf", "oneOf", "allOf"):
        if joined in schema:
            return " or ".join(_kind(one) for one in schema[joined])
    if "enum" in schema:
        return " | ".join(f"<code>{_text(one)}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{_text(schema['const'])}</code>"
    if schema.get("type") == "array":
        inner = schema.get("items") or {}
        return f"list of {_kind(inner)}" if inner else "list"
    bounds = [
        f"{word} {schema[key]}"
        for key, word in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in schema
    ]
    text = " ".join(str(one) for one in (schema.get("type", "anything"), *bounds))
    return _text(text)


def _permissions(app: FastAPI) -> dict[tuple[str, str], str]:
    found = {}
    for route in app.routes:
        permission = permission_of(route)
        for method in getattr(route, "methods", None) or ():
            if permission is not None:
                found[getattr(route, "path", ""), method.lower()] = permission.value
    return found


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)
