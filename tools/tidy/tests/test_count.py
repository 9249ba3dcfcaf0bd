"""The counting of ./do test: nothing that failed, died or did not run may look like a pass."""

import json
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "do.d" / "lib"))

from count_tests import count  # noqa: E402


def gtest_report(*failed):
    cases = [{"status": "RUN", "result": "COMPLETED", **({"failures": [{}]} if f else {})} for f in failed]
    return {"testsuites": [{"testsuite": cases + [{"status": "NOTRUN"}, {"status": "RUN", "result": "SKIPPED"}]}]}


class Count(unittest.TestCase):
    def run_count(self, tests, reports):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            cases = "".join(
                f'<testcase name="{name}" status="{status}">{inner}</testcase>' for name, status, inner in tests)
            (root / "ctest.xml").write_text(f"<testsuite>{cases}</testsuite>")
            for name, report in reports.items():
                (root / f"{name}.json").write_text(report if isinstance(report, str) else json.dumps(report))
            return count(root / "ctest.xml", root)

    FAILURE = '<failure message=""/>'

    def test_cases_are_counted_one_by_one(self):
        self.assertEqual(self.run_count([("a", "run", ""), ("b", "run", "")], {"a": gtest_report(0, 0, 0)}), (4, 0))
        self.assertEqual(self.run_count([("a", "fail", self.FAILURE)], {"a": gtest_report(0, 1, 0)}), (2, 1))

    def test_a_binary_that_died_is_a_failure(self):
        self.assertEqual(self.run_count([("a", "fail", self.FAILURE)], {}), (0, 1))
        self.assertEqual(self.run_count([("a", "fail", self.FAILURE)], {"a": ""}), (0, 1))

    def test_a_binary_that_failed_after_its_cases_passed_is_a_failure(self):
        self.assertEqual(self.run_count([("a", "fail", self.FAILURE)], {"a": gtest_report(0, 0)}), (2, 1))

    def test_a_test_that_could_not_be_started_is_a_failure(self):
        self.assertEqual(self.run_count([("a", "notrun", '<skipped message="Unable to find executable"/>')], {}), (0, 1))


if __name__ == "__main__":
    unittest.main()
