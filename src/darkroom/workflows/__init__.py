"""Workflows: what each type of job does, as a plan of named steps, and the engine that makes the plans durable."""
