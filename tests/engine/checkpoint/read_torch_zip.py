# SPDX-License-Identifier: Apache-2.0
"""Reads a file of torch.save with the standard library alone.

usage: read_torch_zip.py FILE

Prints its object as JSON: tensors as {"shape", "sha256"} of their bytes in C
order, tuples as lists. Exits 1 and says why if the file has anything that
torch.load(weights_only=True) would refuse, or data at places where it cannot be
mapped.
"""

import collections
import hashlib
import json
import pickle
import struct
import sys
import zipfile

ALIGNMENT = 64


class Storage:
    """The type of a storage; only its name matters."""


class Unpickler(pickle.Unpickler):
    """Knows the three globals of a float32 checkpoint and no other."""

    def __init__(self, file, read_storage):
        super().__init__(file)
        self.read_storage = read_storage

    def find_class(self, module, name):
        known = {("collections", "OrderedDict"): collections.OrderedDict,
                 ("torch._utils", "_rebuild_tensor_v2"): rebuild,
                 ("torch", "FloatStorage"): Storage}
        if (module, name) not in known:
            raise ValueError(f"global {module}.{name}")
        return known[module, name]

    def persistent_load(self, pid):
        kind, storage_type, key, location, count = pid
        if (kind, storage_type, location) != ("storage", Storage, "cpu"):
            raise ValueError(f"persistent id {pid}")
        data = self.read_storage(key)
        if len(data) != 4 * count:
            raise ValueError(f"storage {key}: {len(data)} bytes of {count}")
        return data


def rebuild(data, offset, shape, strides, requires_grad, hooks):
    count = 1
    for size, stride in zip(reversed(shape), reversed(strides)):
        if stride != count:
            raise ValueError(f"strides {strides} of {shape}")
        count *= size
    if offset != 0 or requires_grad or hooks or len(data) != 4 * count:
        raise ValueError(f"offset {offset}, {len(data)} bytes of {shape}")
    return {"shape": list(shape), "sha256": hashlib.sha256(data).hexdigest()}


def check_places(path, archive):
    """Every entry is stored and begins at a multiple of ALIGNMENT."""
    with open(path, "rb") as file:
        for entry in archive.infolist():
            file.seek(entry.header_offset + 26)
            begin = entry.header_offset + 30 + sum(
                struct.unpack("<HH", file.read(4)))
            if entry.compress_type != zipfile.ZIP_STORED or begin % ALIGNMENT:
                raise ValueError(f"{entry.filename} at byte {begin}")


def load(path):
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise ValueError(f"checksum of {archive.testzip()}")
        check_places(path, archive)
        if archive.read("archive/version") != b"3\n":
            raise ValueError("version")
        if archive.read("archive/byteorder") != b"little":
            raise ValueError("byteorder")
        with archive.open("archive/data.pkl") as file:
            return Unpickler(
                file, lambda key: archive.read(f"archive/data/{key}")).load()


def main():
    try:
        print(json.dumps(load(sys.argv[1])))
    except (ValueError, KeyError, pickle.UnpicklingError,
            zipfile.BadZipFile) as error:
        sys.exit(f"{sys.argv[1]}: {error}")


if __name__ == "__main__":
    main()
