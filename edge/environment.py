"""The environment for child processes, without what importing OpenCV leaves in ours."""

import os
from collections.abc import Mapping


def clean_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """A copy without empty entries in `LD_LIBRARY_PATH` (an empty one means the current folder, so that any
    `libz.so` lying there would be loaded), without OpenCV's own library folders and its Qt settings."""
    found = dict(os.environ if environ is None else environ)
    kept = [
        part
        for part in found.pop("LD_LIBRARY_PATH", "").split(":")
        if part and not part.rstrip("/").endswith(("/cv2", "/cv2/../../lib64"))
    ]
    if kept:
        found["LD_LIBRARY_PATH"] = ":".join(kept)
    for name in [name for name in found if name.startswith("QT_QPA_") and "cv2" in found[name]]:
        del found[name]
    return found
