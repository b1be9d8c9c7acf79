"""Arrays in zarr chunks, in plain files or in OCDBT databases."""
