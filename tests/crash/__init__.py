"""Crash tests: the service is killed wherever it changes the world, started again, and the world is held against a model."""
