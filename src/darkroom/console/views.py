"""Writing pages: templates in a language, and how times and sizes look in them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from darkroom import __version__
from darkroom.console import labels
from darkroom.console.assets import asset
from darkroom.console.i18n import LANGUAGES, Language, translations

TEMPLATES: Final = Path(__file__).parent / "templates"


class Views:
    """Renders templates. What they share, `parts.html`, each finds as `parts`."""

    def __init__(self) -> None:
        self._environments = {language.tag: _environment(language) for language in LANGUAGES.values()}

    def render(self, language: Language, template: str, context: dict[str, Any]) -> str:
        """Return a whole template."""
        return self._template(language, template).render(self._with_parts(language, context))

    def fragment(self, language: Language, template: str, block: str, context: dict[str, Any]) -> str:
        """Return what a template has in a block: the part of a page that is alive."""
        found = self._template(language, template)
        return "".join(found.blocks[block](found.new_context(self._with_parts(language, context))))

    def _template(self, language: Language, name: str) -> Template:
        return self._environments[language.tag].get_template(name)

    def _with_parts(self, language: Language, context: dict[str, Any]) -> dict[str, Any]:
        return {**context, "parts": self._template(language, "parts.html").make_module(context)}


def _environment(language: Language) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        extensions=["jinja2.ext.i18n"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    catalogue = translations(language)
    environment.install_gettext_translations(catalogue, newstyle=True)  # type: ignore[attr-defined]
    environment.globals |= {"asset": asset, "labels": labels, "languages": LANGUAGES.values(), "version": __version__}
    environment.filters |= {
        "utc": utc,
        "iso": iso,
        "size": size,
        "duration": _duration_in(catalogue.ugettext),
        "translated": catalogue.ugettext,
    }
    return environment


def iso(ms: int) -> str:
    """Return a time as `<time datetime>` has it, to the second."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def utc(ms: int) -> str:
    """Return a time as people read it who have no JavaScript."""
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def size(count: int) -> str:
    """Return bytes in a unit that fits: `1.5 GiB`."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if value >= 100 or value == int(value) else f"{value:.1f} {units[0]}"


def _duration_in(_: Callable[[str], str]) -> Callable[[int], str]:
    def duration(ms: int) -> str:
        """Return a duration in milliseconds in at most two units."""
        if ms < 1000:
            return _("%(milliseconds)d ms") % {"milliseconds": ms}
        seconds = ms // 1000
        if seconds < 10:
            return _("%(seconds).1f s") % {"seconds": ms / 1000}
        if seconds < 60:
            return _("%(seconds)d s") % {"seconds": seconds}
        if seconds < 3600:
            return _("%(minutes)d min %(seconds)d s") % {"minutes": seconds // 60, "seconds": seconds % 60}
        return _("%(hours)d h %(minutes)d min") % {"hours": seconds // 3600, "minutes": seconds % 3600 // 60}

    return duration
