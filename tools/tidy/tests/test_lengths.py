"""The counter finds functions where people write them, and the list of exceptions only shrinks."""

import unittest

import support
from lengths import EXCEPTIONS, check_lengths, functions, lowered_exceptions


def names(code):
    return [name for name, _, _ in functions(support.tree({"a.cc": code}).code("a.cc"))]


def long_function(lines):
    return "void f() {\n" + "  g();\n" * (lines - 2) + "}\n"


class Functions(unittest.TestCase):
    def test_shapes_of_functions(self):
        for code, name in (
            ("int f() { return 1; }", "f"),
            ("namespace a::b {\nint f() { return 1; }\n}", "f"),
            ("class A {\n int f() const noexcept { return 1; }\n};", "f"),
            ("A::A(int x) : x_{x}, y_(2) { g(); }", "A::A"),
            ("A::A() noexcept : x_{1} {}", "A::A"),
            ("auto f(int x) -> std::vector<int> { return {}; }", "f"),
            ("template <class T>\nT f(T t) { return t; }", "f"),
            ("TEST(Election, Works) { g(); }", "TEST"),
            ("bool operator==(const A& a) const { return true; }", "operator=="),
            ('extern "C" int f(const char* p) { return 0; }', "f"),
            ("struct A { int x{0}; void f() { if (x) { g(); } } };", "f"),
        ):
            self.assertEqual(names(code), [name], code)

    def test_what_is_not_a_function(self):
        for code in ("struct A { int x = 1; };", "enum class E : int { a, b };", "constexpr int table[] = {1, 2};",
                     "namespace a { }", "#define F(x) \\\n  do { x; } \\\n  while (0)\n", 'auto s = "f() {";', "// f() {\n"):
            self.assertEqual(names(code), [], code)

    def test_lines_are_those_of_signature_and_body(self):
        code = "int a;\n\nint\nf(int x,\n  int y) {\n  return 1;\n}\n"
        self.assertEqual(list(functions(code)), [("f", 3, 7)])

    def test_a_lambda_counts_into_its_function(self):
        code = "void f() {\n  auto l = [] {\n    g();\n  };\n}\nvoid h() {}\n"
        self.assertEqual(list(functions(code)), [("f", 1, 5), ("h", 6, 6)])


class Limits(unittest.TestCase):
    def check(self, files):
        return [str(finding) for finding in check_lengths(support.tree(files))]

    def test_a_long_function_is_found(self):
        self.assertEqual(self.check({"src/a/a.cc": long_function(70)}), [])
        self.assertIn("f() has 71 lines", self.check({"src/a/a.cc": long_function(71)})[0])

    def test_a_long_file_is_found(self):
        self.assertEqual(self.check({"src/a/a.cc": "int a;\n" * 500}), [])
        self.assertIn("this file has 501 lines", self.check({"src/a/a.cc": "int a;\n" * 501})[0])

    def test_an_exception_may_not_grow_and_must_follow_down(self):
        exceptions = {EXCEPTIONS: "function src/a/a.cc f 80  # a table\n"}
        self.assertEqual(self.check({"src/a/a.cc": long_function(80), **exceptions}), [])
        self.assertIn("grew from 80 to 81", self.check({"src/a/a.cc": long_function(81), **exceptions})[0])
        self.assertIn("shrank to 79", self.check({"src/a/a.cc": long_function(79), **exceptions})[0])
        self.assertIn("drop it", self.check({"src/a/a.cc": long_function(60), **exceptions})[0])

    def test_fix_lowers_and_drops_but_never_adds(self):
        text = "# why\nfunction src/a/a.cc f 80  # a table\nfile src/b/b.cc - 600\n"
        files = {EXCEPTIONS: text, "src/a/a.cc": long_function(75), "src/c/c.cc": long_function(90)}
        self.assertEqual(lowered_exceptions(support.tree(files)), "# why\nfunction src/a/a.cc f 75  # a table\n")


if __name__ == "__main__":
    unittest.main()
