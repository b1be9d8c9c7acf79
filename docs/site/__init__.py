"""What Sphinx needs beside the pages: reference pages made from code, and links to files outside `docs/`."""
