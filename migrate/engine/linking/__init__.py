"""Arrays whose encoded chunks are referenced or copied, never decoded."""
