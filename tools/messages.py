"""Writes what the console says into its catalogues of translations: what is new is added, what is gone removed."""

from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from darkroom import errors
from darkroom.console.i18n import CATALOGUES, ENGLISH, LANGUAGES

CONSOLE = CATALOGUES.parent
METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
OPTIONS = {"templates/**.html": {"trimmed": "true"}}


def messages() -> Iterator[tuple[str, str | tuple[str, ...]]]:
    """Yield all that is said, each with the file in which it is said."""
    for file, _line, message, _comments, _context in extract_from_dir(
        CONSOLE, METHODS, OPTIONS, keywords={"_": None, "N_": None, "ngettext": (1, 2)}
    ):
        yield file, message
    for error in vars(errors).values():
        if isinstance(error, type) and issubclass(error, errors.DarkroomError):
            yield "errors", error.cure


def update(path: Path) -> None:
    said = Catalog()
    for file, message in messages():
        said.add(message, locations=[(file, 0)])
    with path.open("rb") as file:
        catalogue = read_po(file, locale=path.stem.replace("-", "_"))
    catalogue.update(said, no_fuzzy_matching=True, update_creation_date=False)
    catalogue.obsolete.clear()
    with path.open("wb") as file:
        write_po(file, catalogue, width=120, include_lineno=False, sort_by_file=True)


def main() -> None:
    for language in LANGUAGES.values():
        if language != ENGLISH:
            update(CATALOGUES / f"{language.tag}.po")


if __name__ == "__main__":
    main()
