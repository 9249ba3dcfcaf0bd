"""Prints "passed failed" for one ctest run: single gtest cases where a report of them exists, else one a test.

usage: count_tests.py ctest.xml gtest-report-folder

ctest says of each test whether it passed; a gtest binary also leaves <name>.json with its cases. A binary that
died (a sanitizer, an assertion, a timeout) leaves no report: that is one failure. A binary that ctest calls
failed is never counted as all passed, whatever its report says.
"""

import json
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def count_cases(report):
    """Cases of one gtest report that ran, and those of them that failed."""
    ran = failed = 0
    for suite in report.get("testsuites", []):
        for case in suite.get("testsuite", []):
            if case.get("status") != "RUN" or case.get("result") == "SKIPPED":
                continue
            ran += 1
            failed += 1 if case.get("failures") else 0
    return ran - failed, failed


def count(ctest_xml, gtest_folder):
    passed = failed = 0
    for case in ElementTree.parse(ctest_xml).getroot().iter("testcase"):
        status = case.get("status")
        if status in ("notrun", "disabled") and case.find("failure") is None:
            skipped = case.find("skipped")
            # A binary that could not be started is "notrun" as well, and that is a failure.
            if status == "disabled" or (skipped is not None and skipped.get("message", "").startswith("SKIP_")):
                continue
            failed += 1
            continue
        succeeded = status == "run" and case.find("failure") is None
        report = pathlib.Path(gtest_folder) / (case.get("name") + ".json")
        case_passed, case_failed = 0, 0
        if report.is_file() and report.stat().st_size > 0:
            case_passed, case_failed = count_cases(json.loads(report.read_text()))
        elif succeeded:
            case_passed = 1
        if not succeeded and case_failed == 0:
            case_failed = 1
        passed += case_passed
        failed += case_failed
    return passed, failed


if __name__ == "__main__":
    print(*count(sys.argv[1], sys.argv[2]))
