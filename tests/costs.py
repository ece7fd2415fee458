"""The tests and files that take the most CPU time, including that of processes they started: ``-p tests.costs``.

Where the system has no /proc, a process counts when it has ended and was waited for: browsers and forked workers late.
"""

import multiprocessing.forkserver
import os
import resource
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

SHOWN = 40


def spent():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used) + sum(map(spent_by, descendants(os.getpid())))


def descendants(process):
    """The processes that a process started, and that these started, as far as they are there."""
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # it has ended
            for child in listed.read_text().split():
                yield child
                yield from descendants(child)


def spent_by(process):
    """Seconds of a process and of those that it has waited for."""
    with suppress(OSError):
        times = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:15]
        return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return 0


class Costs:
    """Seconds since the phase before; what a shared fixture takes counts for the test that came first.

    What a process took is lost where nothing waits for it, as for Chromium's: then a phase has 0, and not less.
    """

    def __init__(self):
        self.before = spent()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        now = spent()
        report.user_properties.append((f"cpu {report.when}", max(now - self.before, 0)))
        self.before = now
        return report

    def pytest_sessionfinish(self):
        multiprocessing.forkserver._forkserver._stop()  # waits for it; what it took counts for this process

    def pytest_terminal_summary(self, terminalreporter):
        tests, files = Counter(), Counter()
        for report in (report for reports in terminalreporter.stats.values() for report in reports):
            seconds = dict(getattr(report, "user_properties", ())).get(f"cpu {getattr(report, 'when', '')}", 0)
            tests[getattr(report, "nodeid", "")] += seconds
            files[getattr(report, "nodeid", "").partition("::")[0]] += seconds
        for name, costs in (("files", files), ("tests", tests)):
            terminalreporter.section(f"CPU seconds: {tests.total():.0f} in all, {name}")
            for what, seconds in costs.most_common(SHOWN):
                terminalreporter.write_line(f"{seconds:7.2f}  {what}")


def pytest_configure(config):
    config.pluginmanager.register(Costs(), "costs")
