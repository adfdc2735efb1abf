"""The lineage of images: each under the one that it was made from."""

from collections.abc import Iterable

import msgspec

from darkroom.domain.images import Image


class Node(msgspec.Struct, frozen=True):
    """An image with those that were made from it, newest first."""

    image: Image
    children: list["Node"]


def lineage(images: Iterable[Image]) -> list[Node]:
    """Return images as trees, newest first."""
    nodes = {image.id: Node(image, []) for image in images}
    roots: list[Node] = []
    for node in nodes.values():
        parent = nodes.get(node.image.base_image_id) if node.image.base_image_id else None
        (parent.children if parent else roots).append(node)
    return roots


def branch(nodes: Iterable[Node], image_id: str) -> Node | None:
    """Return the node of an image, wherever it is in the trees."""
    for node in nodes:
        if node.image.id == image_id:
            return node
        if found := branch(node.children, image_id):
            return found
    return None
