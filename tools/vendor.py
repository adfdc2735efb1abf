"""Copies what the web console takes from npm out of node_modules to where the service serves it."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "src" / "darkroom" / "console" / "static" / "vendor"

#: Where each file or folder goes.
COPIES = {
    "htmx.org/dist/htmx.min.js": "htmx/htmx.js",
    "htmx.org/dist/ext/hx-sse.min.js": "htmx/hx-sse.js",
    "htmx.org/LICENSE": "htmx/LICENSE",
    "@xterm/xterm/lib/xterm.mjs": "xterm/xterm.js",
    "@xterm/xterm/css/xterm.css": "xterm/xterm.css",
    "@xterm/xterm/LICENSE": "xterm/LICENSE",
    "@xterm/addon-fit/lib/addon-fit.mjs": "xterm/addon-fit.js",
    "@novnc/novnc/core": "novnc/core",
    "@novnc/novnc/vendor": "novnc/vendor",
    "@novnc/novnc/LICENSE.txt": "novnc/LICENSE",
}


def main() -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    for source, target in COPIES.items():
        whole, place = MODULES / source, VENDOR / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if whole.is_dir():
            shutil.copytree(whole, place)
        else:
            shutil.copyfile(whole, place)


if __name__ == "__main__":
    main()
