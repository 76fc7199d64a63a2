"""Scenarios: from YAML to a finished run, and the `airtune` command."""
