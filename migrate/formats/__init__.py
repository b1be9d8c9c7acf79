"""Readers: one file per format; `migrate.formats.detect.open_reader` chooses among them by what the files contain."""
