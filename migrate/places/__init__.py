"""Where a checkpoint is stored: on a local file system, or in a bucket of Google Cloud Storage or S3."""
