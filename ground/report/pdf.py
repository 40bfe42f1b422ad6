"""A report as PDF, printed by a browser that is installed; without one there is only HTML, and that is
said.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from skywarden.errors import PeerUnavailableError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge")
_LIMIT_S = 120.0


def find_browser() -> str | None:
    """The path of a browser that prints without a screen, `None` when there is none."""
    return next((found for name in BROWSERS if (found := shutil.which(name)) is not None), None)


def print_pdf(page: bytes, browser: str, *, limit_s: float = _LIMIT_S) -> bytes:
    """The page on A4. Raises `PeerUnavailableError` when the browser does not do it in time."""
    with tempfile.TemporaryDirectory(prefix="skywarden-report-") as scratch:
        folder = Path(scratch)
        source, out = folder / "report.html", folder / "report.pdf"
        source.write_bytes(page)
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--disable-extensions",
            "--no-first-run",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder / 'profile'}",
            f"--print-to-pdf={out}",
            source.as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # Chromium refuses its sandbox to root; the page has no script
        try:
            done = subprocess.run(command, capture_output=True, timeout=limit_s, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PeerUnavailableError(f"{browser} did not print the report ({error})") from error
        if done.returncode != 0 or not out.is_file():
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no word"]
            raise PeerUnavailableError(f"{browser} did not print the report: {last[0][:200]}")
        return out.read_bytes()
