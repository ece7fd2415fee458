"""The tests and files that take the most CPU time, including that of ended child processes: ``-p tests.costs``.

Forked workers (see `tests.warm`) count for the process, not for a test.
"""

import multiprocessing.forkserver
import resource
from collections import Counter

import pytest

SHOWN = 40


def spent():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


class Costs:
    """Seconds since the phase before; what a shared fixture takes counts for the test that came first."""

    def __init__(self):
        self.before = spent()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self):
        report = yield
        now = spent()
        report.user_properties.append((f"cpu {report.when}", now - self.before))
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
