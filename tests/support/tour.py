"""The commands of a document, typed into one shell on a host of their own: ``python -m tests.support.tour DOCUMENT``.

Writes a JSON list of what was typed, what the document says of it, and what came. The host is a network and a mount
namespace that the caller has made; a registry is in it, which stands in for Docker Hub.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from images.registry import Registry

_END = "-- end of this command --"


def examples(text: str) -> Iterator[tuple[str, str]]:
    """The commands of all ``console`` blocks, each with what it is to print."""
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for example in re.split(r"^# ", block, flags=re.MULTILINE)[1:]:
            lines = example.splitlines(keepends=True)
            first, length = lines[0], 1
            if "<<" in first:
                length = lines.index("EOF\n") + 1
            elif first.endswith("do\n"):
                length = lines.index("  done\n") + 1
            yield "".join(lines[:length]), "".join(lines[length:])


def main(document: str) -> None:
    with open(document) as file:
        text = file.read()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.TemporaryDirectory(prefix="pyc-tour-") as scratch:
        os.mkdir(f"{scratch}/registry")
        os.mkdir(f"{scratch}/here")
        with Registry(f"{scratch}/registry") as registry:
            registry.publish("alpine")
            environment = {
                **os.environ,
                "CONTAINERS_REGISTRIES_CONF": registry.mirror(),
                "HOME": scratch,
                "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
                "PYC_ROOT": f"{scratch}/root",
                "PYC_RUNROOT": f"{scratch}/runroot",
            }
            with subprocess.Popen(
                ["sh"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=f"{scratch}/here",
                env=environment,
            ) as shell:
                assert shell.stdin and shell.stdout
                done = []
                for typed, expected in examples(text):
                    shell.stdin.write(f"{typed}\n_code=$?; echo; echo '{_END}'; (exit $_code)\n")
                    shell.stdin.flush()
                    came = list(iter(shell.stdout.readline, f"{_END}\n"))
                    done.append((typed, expected, "".join(came).removesuffix("\n")))
                shell.stdin.write("pyc rm -f $(pyc ps -aq)\n")  # nothing, if the tour went as it says
                shell.stdin.close()
                shell.stdout.read()
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
