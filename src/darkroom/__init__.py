"""Darkroom makes golden images: boot an image server, install on it, capture its disk, delete it, as durable jobs."""

__version__ = "0.1.0"
