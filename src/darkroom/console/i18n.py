"""Languages: what the console says in each, chosen by a cookie or by what the browser asks for.

English sentences are the keys. The other languages are catalogues in gettext's format, read as they are.
"""

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

import msgspec
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from starlette.requests import Request

CATALOGUES: Final = Path(__file__).parent / "locales"
COOKIE: Final = "darkroom_language"


class Language(msgspec.Struct, frozen=True):
    """A language by the tag that pages carry, and by its own name; `accepted` are the tags of browsers for it."""

    tag: str
    name: str
    accepted: tuple[str, ...]


ENGLISH: Final = Language("en", "English", ("en",))
CHINESE: Final = Language("zh-Hans", "简体中文", ("zh",))
LANGUAGES: Final = {language.tag: language for language in (ENGLISH, CHINESE)}


def N_(text: str) -> str:  # noqa: N802  (gettext's own name for it)
    """Mark a text as one to be translated where it is shown."""
    return text


@cache
def translations(language: Language) -> NullTranslations:
    """Return what the console says in a language."""
    path = CATALOGUES / f"{language.tag}.po"
    if not path.exists():
        return NullTranslations()
    compiled = BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=language.tag.replace("-", "_")))
    compiled.seek(0)
    return Translations(compiled)


def language_of(request: Request) -> Language:
    """Return the language that the user chose, or else the first that the browser accepts and that there is."""
    chosen = LANGUAGES.get(request.cookies.get(COOKIE, ""))
    return chosen or _accepted(request.headers.get("accept-language", "")) or ENGLISH


def _accepted(header: str) -> Language | None:
    """Return the best of the languages in `Accept-Language` (RFC 9110, section 12.5.4)."""
    ranked: list[tuple[float, str]] = []
    for each in header.split(","):
        tag, _, weight = each.partition(";q=")
        try:
            ranked.append((float(weight or 1), tag.strip().lower()))
        except ValueError:
            continue
    for _, tag in sorted(ranked, key=lambda each: -each[0]):
        for language in LANGUAGES.values():
            if tag.partition("-")[0] in language.accepted:
                return language
    return None
