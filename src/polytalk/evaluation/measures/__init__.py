"""What does a figure mean? Metrics on arrays: no files, no networks of the pipeline."""
