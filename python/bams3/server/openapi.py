"""The OpenAPI description of the routes, for people, and for programs that test servers."""

from __future__ import annotations

from typing import Any

_ERROR = {
    "description": "What happened, and what to do.",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
}
_CONDITIONS = ("If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since")


def description(version: str) -> dict[str, Any]:
    """Return the description, of this version of bams3."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "bams3 serve", "version": version, "license": {"name": "Apache-2.0"}},
        "security": [{}, {"bearer": []}],
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": _error_schema()},
        },
        "paths": {
            "/files/{root}/{key}": {method: _file(method) for method in ("get", "head")},
            "/healthz": {"get": _simple("The server answers.", "application/json")},
            "/metrics": {"get": _simple("Counters for Prometheus.", "text/plain", 401)},
            "/openapi.json": {"get": _simple("This description.", "application/json")},
        },
    }


def _error_schema() -> dict[str, Any]:
    fields = {
        "status": {"type": "integer"},
        "message": {"type": "string"},
        "hint": {"type": "string"},
    }
    error = {"type": "object", "required": ["status", "message"], "properties": fields}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}


def _simple(summary: str, kind: str, *errors: int) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "object" if kind.endswith("json") else "string"}}}
    answers: dict[str, Any] = {"200": {"description": summary, "content": content}}
    answers |= {str(status): _ERROR for status in (*errors, 400, 421)}
    return {"summary": summary, "responses": answers}


def _file(method: str) -> dict[str, Any]:
    data = {"schema": {"type": "string", "format": "binary"}}
    binary = {"application/octet-stream": data} if method == "get" else {}
    parts = binary | ({"multipart/byteranges": data} if method == "get" else {})
    answers: dict[str, Any] = {
        "200": {"description": "The whole file.", "content": binary},
        "304": {"description": "The client has this version."},
    }
    if method == "get":
        answers["206"] = {"description": "The ranges asked for.", "content": parts}
        answers["307"] = {"description": "The store has it, at the address of Location."}
    errors = (400, 401, 403, 404, 409, 412, 416, 421, 429, 502, 503)
    answers |= {str(status): _ERROR if method == "get" else {"description": "As for GET."}
                for status in errors}  # fmt: skip
    headers = ("Range", *_CONDITIONS)
    return {
        "summary": "A file, whole or by byte range.",
        "parameters": [_in_path("root"), _in_path("key"), *(_header(name) for name in headers)],
        "responses": answers,
    }


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _header(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
