"""Crash tests: the service is killed wherever it changes the world, started again, and held against a model."""
