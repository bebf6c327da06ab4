"""Run in the VM: pytest, which asks for each file of tests that it is to run, and tells of each test.

``python -m tests.vm.worker OPTION...`` collects everything and speaks JSON lines on its standard error: ``"next"`` when
it wants a file's name, which it reads from its input, until that ends; a test's report, as pytest makes it, when it has
one. So several VMs share the files, none idles while another is at work, and who asked for them sees each result.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, TextIO

import pytest

from tests.support.host import PATIENCE

NEXT = "next"


class Told:
    """Pytest's loop over what was collected. Both streams must not be those that pytest captures."""

    def __init__(self, says: TextIO, answers: TextIO) -> None:
        self.says, self.answers = says, answers
        self.config: pytest.Config

    def pytest_configure(self, config: pytest.Config) -> None:
        self.config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._say(self.config.hook.pytest_report_to_serializable(config=self.config, report=report))
        if report.failed:
            print(f"\n{report.longreprtext}", flush=True)  # into the log, for who can't wait for the end

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run a file's tests at a time. Pytest is told what follows each, since it keeps the fixtures for that."""
        if session.testsfailed:
            raise session.Interrupted("not everything could be collected")
        files: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            files.setdefault(item.location[0], []).append(item)
        tests = self._next(files)
        while tests:
            following = self._next(files)
            for item, successor in zip(tests, [*tests[1:], following[0] if following else None], strict=True):
                session.config.hook.pytest_runtest_protocol(item=item, nextitem=successor)
            tests = following
        return True

    def _next(self, files: dict[str, list[pytest.Item]]) -> list[pytest.Item]:
        """The tests of the next file that has any; none at the end."""
        while True:
            self._say(NEXT)
            name = self.answers.readline().strip()
            if not name or name in files:
                return files.pop(name, [])

    def _say(self, what: Any) -> None:
        print(json.dumps(what), file=self.says, flush=True)


class Patient(subprocess.Popen[Any]):
    """A process that may take PATIENCE times as long as a test says; so may what subprocess.run() starts."""

    def wait(self, timeout: float | None = None) -> int:
        return super().wait(timeout and timeout * PATIENCE)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        return super().communicate(input, timeout and timeout * PATIENCE)


if __name__ == "__main__":
    subprocess.Popen = Patient  # type: ignore[misc]
    with os.fdopen(os.dup(2), "w") as says, os.fdopen(os.dup(0)) as answers:
        sys.exit(pytest.main(sys.argv[1:], plugins=[Told(says, answers)]))
