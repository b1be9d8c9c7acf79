"""A format that no row of `FORMATS` knows, written against the public contract alone: one float32 matrix.

`TinyItem` is an item, which a row of a table opens; `TinyReader` is a whole reader, as a third party writes it.
"""

import numpy as np

from migrate.formats.base import Extent, Item, ItemInfo
from migrate.formats.detect import Format, one_item
from migrate.formats.reader import AbstractCheckpoint, Reader
from migrate.tree import AbstractArray, AbstractLeaf, AbstractTree, Storage

MAGIC = b"TINY"


def write_tiny(path, array):
    """Writes a float32 matrix: the magic number, two sizes of four bytes, the elements."""
    path.write_bytes(MAGIC + np.array(array.shape, "<u4").tobytes() + array.astype("<f4").tobytes())
    return path


def is_tiny(path):
    return path.is_file() and path.read_bytes()[:4] == MAGIC


class TinyItem(Item):
    def __init__(self, path):
        self._path = path
        shape = tuple(map(int, np.frombuffer(path.read_bytes()[4:12], "<u4")))
        leaf = AbstractLeaf("array", AbstractArray(shape, "float32"), storage=Storage("tiny"))
        self.info = ItemInfo("tiny", AbstractTree.build([(("params", "w"), leaf)]))

    def load(self, stored):
        shape = self.info.tree.leaves[stored].aval.shape
        return np.frombuffer(self._path.read_bytes(), "<f4", offset=12).reshape(shape)

    def files(self):
        return (self._path,)


TINY = Format("tiny files", is_tiny, one_item(TinyItem))


class TinyReader(Reader):
    """A reader of tiny files.

    Args:
      path: the file.
      storage: what the leaf's metadata claims.
      located: whether the checkpoint claims that chunks are located, which they are not.
      extents: whether the bytes of the array are located.
    """

    format = "tiny"

    def __init__(self, path, storage=None, *, located=False, extents=False):
        self.item, self._extents, self.reads = TinyItem(path), extents, 0
        leaf = AbstractLeaf("array", self.item.info.tree.leaves["params", "w"].aval, storage=storage)
        tree = AbstractTree.build([(("params", "w"), leaf)])
        self._path = path
        self._abstract = AbstractCheckpoint(path, "tiny", {"": tree}, locates_chunks=located)

    def abstract(self):
        return self._abstract

    def read(self, path):
        if path != ("params", "w"):
            raise KeyError(path)
        self.reads += 1
        return self.item.load(path)

    def extents(self, path):
        nbytes = self._abstract.tree.leaves[path].nbytes
        return (Extent(self._path, 12, nbytes),) if self._extents else None

    def close(self):
        pass
