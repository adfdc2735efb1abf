"""Runs machines on this host: QEMU, its monitor, its guest agent and qemu-img, and a folder of images."""
