"""The JSON Schema of scenario files, for editors."""

from __future__ import annotations

import json

from scenarios.schema import Scenario

EDITOR_HINT = """Wrote {path}. To have an editor complete and check a scenario, make this its first line:
# yaml-language-server: $schema={path}"""


def json_schema() -> str:
    """Return the JSON Schema (draft 2020-12) of a scenario file, ``extends`` included, as text."""
    schema = Scenario.model_json_schema()
    extends = {"type": "string", "description": "path or packaged name of the scenario that this one starts from"}
    schema["properties"] = {"extends": extends, **schema["properties"]}
    schema["title"] = "AirTune scenario"
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2)
