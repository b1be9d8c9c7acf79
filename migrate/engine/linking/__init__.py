"""Arrays whose chunks are referenced or copied without being decoded."""
