"""./do explains every command, and refuses what it does not know with a hint."""

import pathlib
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]


def run(*arguments):
    return subprocess.run(["./do", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


class Do(unittest.TestCase):
    def test_every_command_explains_itself(self):
        commands = sorted(path.stem for path in (ROOT / "tools/do.d").glob("*.sh"))
        self.assertGreater(len(commands), 5)
        listed = run("help").stdout
        for name in commands:
            for result in (run("help", name), run(name, "--help")):
                self.assertEqual(result.returncode, 0, name)
                self.assertIn(f"usage: ./do {name}", result.stdout)
                self.assertIn(f"\n  ./do {name}", result.stdout, "an example")
            self.assertRegex(listed, rf"(?m)^  {name} +\S.{{10,}}")

    def test_what_it_does_not_know_is_refused_with_a_hint(self):
        for arguments in (("tset",), ("../setup",), ("clean", "nosuch"), ("setup", "--nosuch"), ("bench",), ("fuzz", "--seconds"),
                          ("test", "--nosuch"), ("test", "faults", "--nosuch")):
            result = run(*arguments)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn("error: ", result.stderr)

    def test_packages_have_a_reason_each(self):
        for name in ("packages.txt", "packages-bench.txt"):
            for line in (ROOT / "tools" / name).read_text().splitlines():
                if line and not line.startswith("#"):
                    self.assertRegex(line, r"^[a-z0-9.+-]+ +# \S.{5,}", line)


if __name__ == "__main__":
    unittest.main()
