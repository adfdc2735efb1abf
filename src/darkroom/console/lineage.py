"""The lineage of images: each under the one that it was made from."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import msgspec

from darkroom.domain.images import Image

#: How deep images are shown one under the other; browsers give up on pages that are nested without end.
DEEPEST: Final = 20


class Row(msgspec.Struct, frozen=True):
    """An image, and how far it stands below the first of its line."""

    depth: int
    image: Image

    @property
    def level(self) -> int:
        """How deep it is shown."""
        return min(self.depth, DEEPEST)


def lineage(images: Sequence[Image]) -> list[Row]:
    """Return images, each followed by those that were made from it; of the same base in the order given."""
    known = {image.id for image in images}
    made = defaultdict[str, list[Image]](list)
    for image in reversed(images):  # what is put aside last comes first
        made[image.base_image_id if image.base_image_id in known else ""].append(image)
    rows: list[Row] = []
    aside = [Row(0, image) for image in made[""]]
    while aside:
        row = aside.pop()
        rows.append(row)
        aside += (Row(row.depth + 1, image) for image in made[row.image.id])
    return rows


def below(rows: Sequence[Row], image_id: str) -> list[Row]:
    """Return the rows of what was made from an image, directly or not, as a lineage of their own."""
    found: list[Row] = []
    own: int | None = None
    for row in rows:
        if row.image.id == image_id:
            own = row.depth
        elif own is not None and row.depth <= own:
            break
        elif own is not None:
            found.append(Row(row.depth - own - 1, row.image))
    return found
