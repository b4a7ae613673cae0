#!/usr/bin/env python3
"""Fills fuzz/corpus from the repository's fixtures, which is where fuzzing starts. Python 3 only.

Corpora are not committed: they grow by thousands of files and are found again in minutes.
"""

import hashlib
import pathlib
import tarfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"
LARGEST = 64 * 1024  # of a seed: fuzzers get nowhere with large ones


def put(target: str, data: bytes) -> None:
    if len(data) > LARGEST:
        return
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def whole(target: str, *patterns: str) -> None:
    """Fixtures as they are."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            put(target, path.read_bytes())


def inside(target: str, entry: str, *patterns: str) -> None:
    """One entry of every archive."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            if not zipfile.is_zipfile(path):
                continue
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith(entry):
                        put(target, archive.read(name))


def headers(target: str, *patterns: str) -> None:
    """The headers of safetensors files. Fuzzers take the two bytes of the data's length off the end."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            data = path.read_bytes()
            end = 8 + int.from_bytes(data[:8], "little")
            put(target, data[8:end] + (len(data) - end).to_bytes(2, "little"))


whole("pt2", "tests/corpus/small/*.pt2")
inside("pt2_program", "models/model.json", "tests/corpus/small/*.pt2")
inside("pt2_program", "serialized_exported_program.json", "tests/corpus/small/*.pt2")
whole("checkpoint", "tests/checkpoints/*.pt", "tests/checkpoints/*.pkl")
inside("checkpoint", "data.pkl", "tests/checkpoints/*.pt")
headers("safetensors", "tests/checkpoints/*.safetensors")
whole("onnx", "tests/corpus/small/*.onnx")
with tarfile.open(ROOT / "tests/conformance/onnx-node.tar.xz") as archive:
    for member in archive.getmembers():
        if member.name.endswith(".onnx"):
            put("onnx", archive.extractfile(member).read())
whole("onnx_text", "crates/lsp/tests/fixtures/*.onnxtxt")
whole("spec", "examples/*.toml", "tests/specs/*.toml")

for folder in sorted(CORPUS.iterdir()):
    print(f"{folder.name}: {len(list(folder.iterdir()))} seeds")
