"""Telemetry: what the service says of itself while it runs."""
