"""A database on disk: its header, shards and outlines, read and written."""
