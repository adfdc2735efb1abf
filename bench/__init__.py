"""`make bench`: Darkroom beside its peers and the physical limit, in the same run, in alternating rounds."""
