"""The folder of images: an image whose file was away for a while is whole again once the file is restored."""

import hashlib
import json
import os
from pathlib import Path

from darkroom.domain.ids import ImageId
from darkroom.drivers.qemu.compute import QemuCompute
from darkroom.drivers.qemu.images import ImageFolder
from darkroom.drivers.qemu.layout import Layout
from darkroom.drivers.qemu.qemu_img import QemuImg
from darkroom.workflows.reconcile_images import STALE, ImageFiles
from house import Records

IMAGE = ImageId("0c51d2a4-0000-4000-8000-000000000001")
NOBODYS = ImageId("0c51d2a4-0000-4000-8000-000000000002")


def add(layout: Layout, image_id: ImageId) -> None:
    """Store an image as one of long ago."""
    layout.images.mkdir(exist_ok=True)
    layout.image(image_id).write_bytes(b"disk")
    state = layout.image(image_id).stat()
    digest = hashlib.sha256(b"disk").hexdigest()
    note = {"size": 4, "virtual_size": 4, "sha256": digest, "mtime_ns": state.st_mtime_ns}
    layout.image_note(image_id).write_text(json.dumps(note))
    long_ago = state.st_mtime - STALE - 60
    os.utime(layout.image_note(image_id), (long_ago, long_ago))


def test_a_file_that_is_restored_after_housekeeping_and_a_restart_is_an_image_again(tmp_path: Path) -> None:
    layout, compute = Layout(tmp_path), QemuCompute(tmp_path, tmp_path / "kit", accelerator="tcg")
    world = Records(tmp_path, compute, compute.image_store)
    world.add_image(IMAGE)
    for image_id in (IMAGE, NOBODYS):
        add(layout, image_id)
    layout.image(NOBODYS).unlink()
    layout.image(IMAGE).rename(tmp_path / "backup")
    for call in (compute.start, compute.stop):
        world.run(call())
    (problem,) = world.run(ImageFiles(world.tools).reconcile())
    assert problem.resource_id == IMAGE
    assert not layout.image_note(NOBODYS).exists()
    layout.image(IMAGE).write_bytes((tmp_path / "backup").read_bytes())
    assert world.run(ImageFiles(world.tools).reconcile()) == []
    facts = world.run(compute.image_store.facts(IMAGE))
    assert facts
    assert world.run(ImageFolder(layout, QemuImg(None)).verify(IMAGE)) == facts
    world.store.close()
