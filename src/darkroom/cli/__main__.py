"""`python -m darkroom.cli` is the `darkroom` command."""

from darkroom.cli import main

main()
