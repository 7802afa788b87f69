"""A source is whatever a user types."""

import io
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.media.images import write_image
from edgepose.media.sources import Source, expand, frames
from edgepose.media.video import Frame, VideoWriter


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = np.full((32, 48, 3), 90, np.uint8)
    for name in ("10.jpg", "2.png", "1.PNG", ".hidden.jpg"):
        (tmp_path / name).write_bytes(cv2.imencode(Path(name).suffix.lower(), image)[1].tobytes())
    (tmp_path / "plain").write_bytes((tmp_path / "2.png").read_bytes())
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "README").write_text("not a picture either")
    (tmp_path / "deep").mkdir()
    write_image(tmp_path / "deep" / "3.webp", image)
    with VideoWriter(tmp_path / "clip.mp4") as writer:
        for index in range(4):
            writer.write(Frame(image, index / 10, index))
    return tmp_path


def names(found: list[Source], folder: Path) -> list[str]:
    return [str(Path(source.location).relative_to(folder)) for source in found]


def test_a_folder_in_counting_order(folder: Path) -> None:
    found = expand(folder)
    assert names(found, folder) == ["1.PNG", "2.png", "10.jpg", "clip.mp4", "plain"]
    assert [source.kind for source in found] == ["picture", "picture", "picture", "video", "picture"]
    assert expand(str(folder) + "/") == found


def test_patterns(folder: Path) -> None:
    assert names(expand(f"{folder}/*.png"), folder) == ["2.png"]
    assert names(expand(f"{folder}/*"), folder) == ["1.PNG", "2.png", "10.jpg", "clip.mp4", "plain"]
    assert names(expand(f"{folder}/**/*.webp"), folder) == ["deep/3.webp"]
    assert names(expand(f"{folder}/?.[pP]*"), folder) == ["1.PNG", "2.png"]


@pytest.mark.parametrize("source", ["", "  "])
def test_an_empty_name_is_not_the_current_folder(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="got an empty name"):
        expand(source)
    assert len(expand(".")) == 5


def test_a_name_with_stars_in_it(folder: Path) -> None:
    os.rename(folder / "10.jpg", folder / "a[1]*.jpg")
    assert expand(folder / "a[1]*.jpg") == [Source(str(folder / "a[1]*.jpg"), "picture")]


def test_content_counts_more_than_the_name(folder: Path) -> None:
    os.rename(folder / "clip.mp4", folder / "clip.jpg")
    os.rename(folder / "10.jpg", folder / "picture.mp4")
    assert expand(folder / "clip.jpg")[0].kind == "video"
    assert expand(folder / "picture.mp4")[0].kind == "picture"
    assert expand(folder / "plain")[0].kind == "picture"
    assert expand(folder / ".hidden.jpg")[0].kind == "picture"
    (folder / "empty.mp4").touch()
    assert expand(folder / "empty.mp4")[0].kind == "video"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\x1a\x45\xdf\xa3", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "video"),
        (b"G" + b"\0" * 187 + b"G" + b"\0" * 300, "video"),
        (b"\xff\xd8\xff\xe0", "picture"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "picture"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"\0\0\0\x20ftypheic", "picture"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "picture"),
        (b"\0\0\0\x18ftyphevc\0\0\0\0heichevc", "video"),
        (b"%PDF-1.7", None),
        (b"", None),
    ],
)
def test_first_bytes(head: bytes, kind: str | None, tmp_path: Path) -> None:
    path = tmp_path / "unnamed"
    path.write_bytes(head)
    if kind:
        assert expand(path) == [Source(str(path), kind)]
    else:
        with pytest.raises(ValueError, match="expected a picture or a video"):
            expand(path)


def test_folders_name_every_kind_of_picture(tmp_path: Path) -> None:
    names = ["a.avif", "b.HEIC", "c.heif", "d.hif", "e.jpg"]
    for name in (*names, "notes.txt"):
        (tmp_path / name).touch()
    assert expand(tmp_path) == [Source(str(tmp_path / name), "picture") for name in names]


def test_cameras_and_streams() -> None:
    assert expand("0") == [Source("0", "camera")] and expand("12") == [Source("12", "camera")]
    for url in ("rtsp://me:pw@host:554/live", "http://host/a.mp4?x=1", "HTTPS://host/s.m3u8", "udp://239.0.0.1:1234"):
        assert expand(url) == [Source(url, "stream")]
    for url in ("ftp://host/a.mp4", "file:///etc/passwd", "concat://a"):
        with pytest.raises(ValueError, match="expected"):
            expand(url)


@pytest.mark.parametrize("path", ["a.jpg", "deep/a.PNG?size=large&of=a.mp4", "a.webp#part"])
def test_pictures_behind_urls_are_to_be_saved_first(path: str) -> None:
    with pytest.raises(
        ValueError, match=r"expected a video URL, got .*save it first, such as with `curl -O URL`"
    ) as told:
        expand(f"https://me:secret@host/{path}")
    assert f"https://***@host/{path}" in str(told.value) and "secret" not in str(told.value)


def test_nothing_there(folder: Path) -> None:
    (folder / "void").mkdir()
    for source in ("none.jpg", "*.bmp", "void", "void/*", "no/such/**/*.png", "notes.txt"):
        with pytest.raises(ValueError, match="expected") as caught:
            expand(folder / source)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_frames(folder: Path) -> None:
    (picture,) = frames(expand(folder / "2.png")[0])
    assert picture.image.shape == (32, 48, 3) and (picture.image == 90).all()
    assert (picture.time, picture.index, picture.poses) == (None, 0, None)
    assert [frame.time for frame in frames(expand(folder / "clip.mp4")[0])] == [0.0, 0.1, 0.2, 0.3]
    with pytest.raises(ConnectionError, match="cannot open camera 98"):
        next(frames(Source("98", "camera")))
    with pytest.raises(ConnectionError, match="does not play"):
        next(frames(Source("rtsp://127.0.0.1:1/x", "stream")))
    with pytest.raises(ValueError, match="too large"):
        next(frames(expand(folder / "2.png")[0], max_pixels=100))


# ------------------------------------------------------------------------------- zips, lists, standard input


def encoded(shade: int, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, np.full((32, 48, 3), shade, np.uint8))[1].tobytes()


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_the_pictures_in_a_zip(folder: Path) -> None:
    path = make_zip(
        folder / "photos.zip",
        {
            "cam/10.png": encoded(10), "cam/2.png": encoded(2), "notes.txt": b"no", "__MACOSX/cam/._2.png": b"no",
            "cam/.hidden.png": b"no", "bad.jpg": b"no picture", "cam/": b"", "clip.mp4": b"no picture",
        },
    )  # fmt: skip
    found = expand(path)
    assert [source.name for source in found] == [
        f"{path}/{name}" for name in ("bad.jpg", "cam/2.png", "cam/10.png", "clip.mp4")
    ]
    assert [frame.image[0, 0, 0] for source in found[1:3] for frame in frames(source)] == [2, 10]
    with pytest.raises(ValueError, match=r"^.*photos.zip/bad.jpg: .*is not a picture"):
        next(frames(found[0]))
    with pytest.raises(ValueError, match=r"clip.mp4 is a video: expected pictures in a zip; unpack it"):
        next(frames(found[3]))
    with pytest.raises(ValueError, match="too large"):
        next(frames(found[1], max_pixels=100))


def test_a_zip_under_another_name_and_one_without_pictures(folder: Path) -> None:
    assert len(expand(make_zip(folder / "photos", {"a.png": encoded(3)}))) == 1
    with pytest.raises(ValueError, match="nothing to read in"):
        expand(make_zip(folder / "a.docx", {"word/document.xml": b"no"}))


def test_a_gif_in_a_zip_is_a_video(folder: Path) -> None:
    from tests.media.test_animation import moving

    (found,) = expand(make_zip(folder / "a.zip", {"in/dance.gif": moving("GIF")}))
    assert found.kind == "video" and [frame.time for frame in frames(found)] == pytest.approx([0, 0.1, 0.14, 0.39])


def test_a_zip_that_unpacks_to_more_than_a_picture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_zip(folder / "bomb.zip", {"a.jpg": bytes(1 << 20)})
    monkeypatch.setattr("edgepose.media.sources.largest_file", lambda pixels: 1 << 16)
    with pytest.raises(ValueError, match=r"bomb.zip/a.jpg is too large for a picture: more than 65536 bytes"):
        next(frames(expand(path)[0]))


def test_a_damaged_zip_is_a_sentence(folder: Path) -> None:
    data = bytearray(make_zip(folder / "a.zip", {"a.png": encoded(9), "b.png": encoded(9)}).read_bytes())
    data[40:60] = bytes(20)
    (folder / "a.zip").write_bytes(data)
    good, bad = 0, []
    for source in expand(folder / "a.zip"):
        try:
            good += len(list(frames(source)))
        except ValueError as error:
            bad.append(str(error))
    assert good == 1 and len(bad) == 1 and "a.zip/a.png" in bad[0] and "\n" not in bad[0]


def test_a_list_of_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are those of the current folder or of the list's; what is missing is told when it is read."""
    monkeypatch.chdir(folder / "deep")
    lines = ["# mine", "2.png", "", "3.webp", f" {folder / 'clip.mp4'} ", "missing.jpg"]
    (folder / "list.txt").write_text("\r\n".join(lines), encoding="utf-8-sig")
    found = expand(folder / "list.txt")
    assert [(Path(source.location).name, source.kind) for source in found] == [
        ("2.png", "picture"), ("3.webp", "picture"), ("clip.mp4", "video"), ("missing.jpg", "picture"),
    ]  # fmt: skip
    assert [len(list(frames(source))) for source in found[:3]] == [1, 1, 4]
    with pytest.raises(FileNotFoundError, match=r"no picture at missing.jpg"):
        next(frames(found[3]))
    (folder / "list.txt").write_bytes(b"\xff\xfe\x00 no text")
    with pytest.raises(ValueError, match="is no list of files: expected UTF-8 text"):
        expand(folder / "list.txt")


def test_a_picture_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.media.test_animation import moving

    told = "stdin is not a picture: expected one on standard input.*save a video and name the file"
    for data, said in (
        (encoded(77), ""),
        (b"\x1a\x45\xdf\xa3 a video", told),
        (b"", "got 0 bytes"),
        (moving("GIF"), told),
    ):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        (source,) = expand("-")
        if said:
            with pytest.raises(ValueError, match=said):
                next(frames(source))
        else:
            assert next(frames(source)).image[0, 0, 0] == 77


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_with_a_name_is_told_what_to_do(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="`-` reads a picture from standard input, a video has to be saved first"):
        expand(tmp_path / "pipe")


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    """Nothing that somebody takes for a picture is passed over in a folder; of a raw file no thumbnail is taken."""
    for name, data in (("a.nef", b"II*\0"), ("b.jxl", b"\xff\x0a"), ("c.heics", b"\0\0\0\x18ftyphevc"), ("d.txt", b"")):
        (tmp_path / name).write_bytes(data + bytes(40))
    found = expand(tmp_path)
    assert [Path(source.location).name for source in found] == ["a.nef", "b.jxl", "c.heics"]
    for source, said in zip(found, ("a camera's raw file", "is not a picture", "is not a picture"), strict=True):
        with pytest.raises(ValueError, match=said):
            next(frames(source))
