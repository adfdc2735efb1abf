"""Drivers run machines and keep image files; `base` says what every one of them promises."""
