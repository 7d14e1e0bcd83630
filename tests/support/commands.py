"""The command `weir` in its own process."""

import asyncio
import os
import subprocess
import sys

# The interpreter instead of the installed script: it runs the code of this checkout.
WEIR = (sys.executable, "-c", "from weir.cli import main; main(prog_name='weir')")


class Commands:
    def __init__(self, home, kafka):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WEIR_")}
        self.cwd = home
        self.env = clean | {
            "WEIR_HOME": str(home),
            "WEIR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "WEIR_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "WEIR_KAFKA__PARTITIONS": "2",
            "WEIR_KAFKA__STREAM_PARTITIONS": "2",
        }

    async def run(self, *arguments, seconds=100):
        return await asyncio.to_thread(
            subprocess.run,
            [*WEIR, *arguments],
            env=self.env,
            cwd=self.cwd,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    async def start(self, *arguments):
        return await asyncio.create_subprocess_exec(
            *WEIR, *arguments, env=self.env, cwd=self.cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )


def without_rights_of_root() -> list[str]:
    """Return a command prefix that drops root's capabilities, so that file modes apply to root too; empty for other users."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
