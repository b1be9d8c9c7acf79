"""Checkpoint formats: `migrate.formats.detect.FORMATS` is the table of all that can be read.

A format is one module, or one room (a subpackage) where it takes several, with an `Item` that reads one pytree. The
modules beside the rooms are shared. Imports between rooms go one way:

    orbax → flax → zarr          safetensors → (no other room)

`base`, `files`, `canonical`, `stored_dtype`, `flat_names`, `ambiguities` and `reader` import no room; `steps` and
`detect` import the rooms, and no room imports them.
"""
