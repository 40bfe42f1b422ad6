"""No process of a campaign outlives the campaign, however that ends."""

import subprocess
import sys
from pathlib import Path

MAIN = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from sim.range.campaign.orphans import end_with_parent

if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=end_with_parent)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_when_the_campaign_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(MAIN)
    # The worker has the same standard output: it reaches its end only once the worker, too, is gone.
    ended = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == -9
    assert int(ended.stdout) > 0
