"""The one way in: :func:`open_media`."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from unmask.base.errors import MediaError, UsageError
from unmask.media import animation, clip, color, pictures, walk
from unmask.media.ahead import run_ahead
from unmask.media.decode import Clock
from unmask.media.sampling import Sampler
from unmask.media.sniff import Kind
from unmask.media.source import Source, source_of
from unmask.media.types import Frame, MediaInfo

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream
    from PIL.Image import Image

# What may lie decoded in the queue: a clip of 8K would fill the memory.
_AHEAD_BYTES = 64 << 20


class Media(ABC):
    """An opened picture or clip; a context manager. Made by :func:`open_media`.

    Attributes:
        name: The name as the user gave it.
        info: Facts of the file.
        path: The file, or None for bytes, arrays and Pillow pictures.
        data: The bytes, when they were given as such (or came through a pipe); else None.
        warnings: What was wrong without stopping the work, for the user; complete when ``frames`` has ended.
    """

    info: MediaInfo

    def __init__(self, name: str, source: Source | None = None) -> None:
        self.name = name
        self.warnings: list[str] = []
        self._source = source
        self._sha256: str | None = None
        # Weak, so that an iterator that is simply dropped ends its thread.
        self._running: weakref.WeakSet[Generator[Frame, None, None]] = weakref.WeakSet()

    @property
    def path(self) -> Path | None:
        """The file, or None where there is none."""
        return self._source.path if self._source else None

    @property
    def data(self) -> bytes | None:
        """The bytes, when they were given as such."""
        return self._source.data if self._source else None

    @property
    def sha256(self) -> str | None:
        """SHA-256 of the file or the bytes, worked out when first asked for; None for arrays and Pillow pictures."""
        if self._sha256 is None and self._source is not None:
            self._sha256 = self._source.sha256()
        return self._sha256

    def frames(self, fps: float | None = 3.0, max_frames: int | None = None, *, ahead: int = 0) -> Iterator[Frame]:
        """Decode. A picture gives one frame; a clip is streamed and never held. Each call starts at the beginning.

        Args:
            fps: Frames wanted a second: the first frame at or after each time k/fps. None for every frame. Where at
                most every fourth frame is wanted, those that no other frame is coded from are passed over, so that the
                one taken may lie a frame or two later; the choice is the same on every machine.
            max_frames: At most so many. Where the clip's duration is known they are spread evenly over it, otherwise
                they are the first ones.
            ahead: Decode in a thread, up to so many frames before they are asked for. 0 decodes when asked.

        Yields:
            Frames in order of time. Closing the iterator, or this object, ends the thread and frees the file.

        Raises:
            MediaError: The file is damaged.
            UsageError: ``fps`` or ``max_frames`` is not above 0.
        """
        if fps is not None and not 0 < fps < float("inf"):
            raise UsageError(f"fps must be above 0, not {fps}", hint="Give for instance 3, or None for every frame")
        if max_frames is not None and max_frames < 1:
            raise UsageError(f"max_frames must be at least 1, not {max_frames}")
        frames: Generator[Frame, None, None] = self._guarded(self._frames(fps, max_frames))
        if ahead > 0 and self.info.kind == "clip":
            frame_bytes = 3 * self.info.width * self.info.height
            frames = run_ahead(frames, min(ahead, max(1, _AHEAD_BYTES // frame_bytes)))
        self._running.add(frames)
        return frames

    def _guarded(self, frames: Generator[Frame, None, None]) -> Generator[Frame, None, None]:
        """Whatever a decoder raises on garbage becomes one kind of error."""
        try:
            yield from frames
        except Exception as error:
            raise pictures.broken(error, self.name) from error

    @abstractmethod
    def _frames(self, fps: float | None, max_frames: int | None) -> Generator[Frame, None, None]: ...

    def open_image(self) -> AbstractContextManager[Image | None]:
        """Open the file anew with Pillow, for its metadata; nothing is decoded. None where Pillow does not read it."""
        return nullcontext()

    def labels(self) -> clip.Labels | None:
        """What a container says of itself, read when it was opened. None for all but clips that PyAV reads."""
        return None

    def open_container(self) -> InputContainer:
        """Open the clip itself with PyAV, under the same rules, for its sound and its frames at full rate.

        The caller closes it. ``rgb(frame)`` of the same object turns its frames into pictures, ``clock().time(frame)``
        gives their ``time_s`` (frames in order), ``video_stream(container)`` the track that was looked at.

        Raises:
            UsageError: It is a picture or an animation that Pillow reads; use ``frames(None)`` there.
        """
        raise UsageError(f"{self.info.format} is not read by PyAV", hint="Use frames(None)", path=self.name)

    def close(self) -> None:
        """End what is running and free the file."""
        for frames in list(self._running):
            with suppress(ValueError):  # it is running right now, in another thread
                frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _opened(source: Source, kind: Kind) -> Iterator[Image | None]:
    with source.open() as file:
        yield pictures.open_picture(file, kind, source.name)


class PictureMedia(Media):
    """One picture. Its pixels are decoded once, when first asked for."""

    def __init__(
        self,
        name: str,
        *,
        info: MediaInfo,
        source: Source | None = None,
        kind: Kind | None = None,
        image: Image | None = None,
        file: BinaryIO | None = None,
        pixels: NDArray[np.uint8] | None = None,
    ) -> None:
        super().__init__(name, source)
        self.info = info
        self._kind = kind
        self._image = image
        self._file = file
        self._pixels = pixels

    def _frames(self, fps: float | None, max_frames: int | None) -> Generator[Frame, None, None]:  # noqa: ARG002
        yield Frame(self._decoded())

    def open_image(self) -> AbstractContextManager[Image | None]:
        """See :meth:`Media.open_image`."""
        if self._source is not None and self._kind is not None:
            return _opened(self._source, self._kind)
        return nullcontext(self._image)

    def _decoded(self) -> NDArray[np.uint8]:
        if self._pixels is None:
            if self._image is None:
                raise UsageError("this picture was closed", path=self.name)
            self._pixels = pictures.upright_rgb(self._image, self.name)
        return self._pixels

    def close(self) -> None:
        """Free the file and the pixels."""
        super().close()
        if self._file is not None:
            self._file.close()
        self._image = self._pixels = None


class AnimationMedia(Media):
    """An animated GIF, WebP, PNG or AVIF."""

    def __init__(self, source: Source, kind: Kind, image: Image, delays: list[float]) -> None:
        super().__init__(source.name, source)
        self._kind = kind
        self._delays = delays
        self._orientation = pictures.orientation_of(image)
        total = sum(delays) / 1000
        width, height = pictures.upright_size(image)
        self.info = MediaInfo(
            kind="clip",
            width=width,
            height=height,
            format=kind.format,
            duration_s=total or None,
            fps=len(delays) / total if total else None,
        )

    def _frames(self, fps: float | None, max_frames: int | None) -> Generator[Frame, None, None]:
        sampler = Sampler(fps, max_frames, self.info.duration_s)
        assert self._source is not None
        index = 0
        with self._source.open() as file:
            image = pictures.open_picture(file, self._kind, self.name)
            for time_s, picture in animation.walk(image, self._delays, self.name, self.warnings):
                if sampler.wants(time_s):
                    yield Frame(animation.frame_rgb(picture, self.name, self._orientation), time_s, index)
                    index += 1
                if sampler.done:
                    return

    def open_image(self) -> AbstractContextManager[Image | None]:
        """See :meth:`Media.open_image`."""
        assert self._source is not None
        return _opened(self._source, self._kind)


class ClipMedia(Media):
    """A clip that PyAV decodes.

    Attributes:
        start_s: Where the first frame lies on the file's own clock, in seconds (sound counts on the same clock).
    """

    def __init__(self, source: Source, kind: Kind) -> None:
        super().__init__(source.name, source)
        self._kind = kind
        self._facts = facts = clip.probe(source, kind)
        self.start_s = facts.start_s or 0.0
        self.warnings.extend(facts.notes)
        width, height = facts.geometry.upright
        self.info = MediaInfo(
            kind="clip",
            width=width,
            height=height,
            format=kind.format,
            duration_s=facts.duration_s,
            fps=facts.rate if facts.has_rate else None,
            has_audio=facts.has_audio,
        )
        self._reformatter: Any = None

    def _frames(self, fps: float | None, max_frames: int | None) -> Generator[Frame, None, None]:
        from av.video.reformatter import VideoReformatter

        assert self._source is not None
        sampler = Sampler(fps, max_frames, self.info.duration_s)
        reformatter = VideoReformatter()
        index = 0
        frames = walk.timed(self._source, self._kind, self._facts, self.warnings, sampler)
        with closing(frames):
            for frame, time_s in frames:
                if sampler.wants(time_s):
                    yield Frame(color.upright_rgb(frame, self._facts.geometry, reformatter), time_s, index)
                    index += 1
                if sampler.done:
                    return

    def labels(self) -> clip.Labels:
        """See :meth:`Media.labels`."""
        return self._facts.labels

    def open_container(self) -> InputContainer:
        """See :meth:`Media.open_container`."""
        assert self._source is not None
        return clip.open_container(self._source, self._kind)

    def video_stream(self, container: InputContainer) -> VideoStream:
        """The picture track of a container that :meth:`open_container` gave."""
        return clip.video_stream(container, self.name)

    @property
    def geometry(self) -> color.Geometry:
        """How a decoded frame lies in the upright picture."""
        return self._facts.geometry

    def decoded(self) -> Iterator[tuple[VideoFrame, float]]:
        """Decode every picture without converting it: (frame as it lies in the file, its ``time_s``), in order."""
        assert self._source is not None
        return walk.timed(self._source, self._kind, self._facts, [], Sampler(None, None, None))

    def clock(self) -> Clock:
        """A clock that gives the ``time_s`` of each frame; ask it in order, from the first frame of the track."""
        return walk.clock(self._facts)

    def rgb(self, frame: Any) -> NDArray[np.uint8]:
        """Turn a frame of :meth:`open_container`'s picture track into an upright H×W×3 uint8 RGB picture."""
        from av.video.reformatter import VideoReformatter

        if self._reformatter is None:
            self._reformatter = VideoReformatter()
        return color.upright_rgb(frame, self._facts.geometry, self._reformatter)


def open_media(source: Any, *, name: str | None = None) -> Media:
    """Open a picture or a clip.

    What a file is, is told by its content; its name does not matter. Animated GIF, WebP, PNG and AVIF are clips. Of a
    TIFF with several pages and of a phone's multi-picture JPEG the first picture is taken.

    Args:
        source: A path, the bytes of a file, a Pillow picture (its current frame), or an H×W×3 or H×W×4 uint8 array
            in RGB order. It is never changed.
        name: What to call it in reports and errors; default: the path, or a word for the kind.

    Raises:
        MediaError: There is no such file, it is empty, damaged or too large, or it has no pictures.
        UnsupportedMediaError: It is of a kind that unmask does not read.
        MissingExtraError: It is HEIC and pillow-heif is not installed.
        UsageError: ``source`` is of another type or shape.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source, name or "<array>")
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)):
        return _from_file(source_of(source, name))  # type: ignore[arg-type]
    from PIL import Image

    if isinstance(source, Image.Image):
        label = name or str(getattr(source, "filename", "") or "") or "<picture>"
        pictures.check_size(source.width, source.height, label)
        width, height = pictures.upright_size(source)
        info = MediaInfo("picture", width, height, "pil")
        return PictureMedia(label, info=info, image=source)
    raise UsageError(
        f"cannot open a {type(source).__name__}", hint="Give a path, bytes, a Pillow picture or an H×W×3 uint8 array"
    )


def _from_array(array: NDArray[Any], name: str) -> Media:
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4):
        raise UsageError(
            f"the array is {array.dtype} of shape {array.shape}",
            hint="Give H×W×3 or H×W×4 uint8 in RGB order, values 0 to 255",
            path=name,
        )
    height, width = array.shape[:2]
    pictures.check_size(width, height, name)
    if array.shape[2] == 4:
        from PIL import Image

        array = pictures.upright_rgb(Image.fromarray(array), name)
    pixels = np.ascontiguousarray(array)
    return PictureMedia(name, info=MediaInfo("picture", width, height, "array"), pixels=pixels)


def _from_file(source: Source) -> Media:
    kind = source.kind()
    if kind.loader == "clip":
        return ClipMedia(source, kind)
    file = source.open()
    try:
        image = pictures.open_picture(file, kind, source.name)
        if kind.loader == "animation":
            with source.open() as again:
                delays = animation.delays_ms(again, kind.format)
            if len(delays) > 1:
                file.close()
                return AnimationMedia(source, kind, image, delays)
        width, height = pictures.upright_size(image)
        media = PictureMedia(
            source.name,
            info=MediaInfo("picture", width, height, kind.format),
            source=source,
            kind=kind,
            image=image,
            file=file,
        )
        pages = getattr(image, "n_frames", 1) if kind.format == "tiff" else 1
        if pages > 1:
            media.warnings.append(f"only the first of {pages} pages was looked at")
    except BaseException as error:
        file.close()
        if isinstance(error, Exception):
            raise pictures.broken(error, source.name) from error
        raise
    return media


__all__ = ["Media", "MediaError", "open_media"]
