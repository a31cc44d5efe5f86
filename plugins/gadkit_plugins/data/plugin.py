"""What this plugin offers: the datasets."""

from __future__ import annotations

from gadkit import Component, hookimpl


@hookimpl
def gadkit_datasets() -> list[Component]:
    """The datasets, those that take a path in the order in which they are asked whether they accept it."""
    return [
        Component(
            name="videos",
            summary="a video file, or a folder tree of video files",
            target="gadkit_plugins.data.videos:Videos",
        ),
        Component(
            name="frames",
            summary="a folder tree in which every folder of images is one video",
            target="gadkit_plugins.data.frames:Frames",
        ),
        Component(
            name="embedded",
            summary="56 animated yellow faces, 128×128, that come with gadkit",
            target="gadkit_plugins.data.embedded_set:Embedded",
            source="Microsoft Fluent Emoji, https://github.com/microsoft/fluentui-emoji",
        ),
    ]
