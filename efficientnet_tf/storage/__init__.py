"""Files on a disk or in a bucket: paths, atomic writes, locks."""
