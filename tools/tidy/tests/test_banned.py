"""Each banned name is found in code, not in prose, and not where it is allowed."""

import unittest

import support
from banned import check_banned, check_texts, check_unordered


def banned(path, code):
    return support.rules(check_banned(support.tree({path: code})))


class Banned(unittest.TestCase):
    def test_each_name_is_found(self):
        for code, rule in (
            ("int x = std::rand();", "randomness"),
            ("int x = rand();", "randomness"),
            ("std::mt19937_64 g(1);", "randomness"),
            ("std::uniform_int_distribution<int> d;", "randomness"),
            ("auto t = std::chrono::steady_clock::now();", "clock"),
            ("auto t = time(nullptr);", "clock"),
            ("std::mutex m;", "threads"),
            ("std::jthread t([] {});", "threads"),
            ("thread_local int depth;", "thread-local"),
            ("std::this_thread::sleep_for(1ms);", "sleep"),
            ("std::ofstream out(name);", "files"),
            ("int fd = ::open(name, 0);", "files"),
            ('printf("x");', "printing"),
            ("std::cerr << 1;", "printing"),
            ("boost::asio::io_context io;", "asio"),
            ("assert(x > 0);", "assert"),
            ("using namespace std;", "using-namespace"),
            ("std::map<const Node*, int> by_node;", "pointer-order"),
        ):
            self.assertEqual(banned("src/raft/core.cc", code + "\n"), [rule], code)

    def test_alike_names_are_not(self):
        for code in ("int random = operand();", "prng.rand();", "LS_MUST(x);", "static_assert(x);", "obj.time(nullptr);",
                     "using namespace std::chrono_literals;", "std::map<Node, Node*> nodes;", "file.write(1);",
                     "snprintf(buffer, 3, format);", "int puts = puts_of(x);", "std::thread_safe x;"):
            self.assertEqual(banned("src/raft/core.cc", code + "\n"), [], code)

    def test_prose_and_strings_may_speak_of_them(self):
        self.assertEqual(banned("src/raft/core.cc", '// no std::rand here\nauto s = "std::mutex"; /* asio\nasio */\n'), [])
        self.assertEqual(banned("src/raft/core.cc", 'auto s = R"(std::mutex "asio")";\nstd::mutex m;\n'), ["threads"])

    def test_they_are_allowed_where_they_belong(self):
        self.assertEqual(banned("src/platform/clock.cc", "auto t = std::chrono::steady_clock::now(); std::mutex m;\n"), [])
        self.assertEqual(banned("src/sim/main.cc", 'printf("seed");\n'), [])
        self.assertEqual(banned("src/sim/world.cc", "auto t = std::chrono::steady_clock::now();\n"), ["clock"])

    def test_a_test_may_write_files_but_not_look_at_the_clock(self):
        self.assertEqual(banned("src/raft/core_test.cc", "std::ofstream out(name);\n"), [])
        self.assertEqual(banned("src/raft/core_test.cc", "auto t = std::chrono::steady_clock::now();\n"), ["clock"])


class Texts(unittest.TestCase):
    def test_unfinished_work_is_found_in_any_text(self):
        self.assertEqual(support.rules(check_texts(support.tree({"README.md": "TO" + "DO: write this\n"}))), ["unfinished"])
        self.assertEqual(support.rules(check_texts(support.tree({"src/a/b.cc": "// FIX" + "ME\n"}))), ["unfinished"])

    def test_places_on_one_machine_are_found(self):
        for text in ("see /wo" + "rk/main", "cd /ho" + "me/me", "../sha" + "red/design", "--dir=/tm" + "p/x"):
            self.assertEqual(support.rules(check_texts(support.tree({"a.md": text}))), ["machine-path"], text)
        for text in ("/v3/kv/range", "src/work/x", "${TMPDIR}/tmp/x", "/usr/bin/env"):
            self.assertEqual(check_texts(support.tree({"a.md": text})), [], text)


class Unordered(unittest.TestCase):
    MEMBER = "struct S { std::unordered_map<int, std::vector<int>> by_id_; absl::flat_hash_set<int> ids_; };\n"

    def test_a_walk_is_found(self):
        code = self.MEMBER + "void f() { for (const auto& [k, v] : by_id_) use(k); }\nvoid g() { for (int id : ids_) use(id); }\n"
        self.assertEqual(support.rules(check_unordered(support.tree({"src/store/s.cc": code}))), ["unordered-walk"] * 2)

    def test_the_member_may_be_declared_in_the_header(self):
        files = {"src/store/s.h": self.MEMBER, "src/store/s.cc": "void f() { for (auto& x : by_id_) use(x); }\n"}
        self.assertEqual(support.rules(check_unordered(support.tree(files))), ["unordered-walk"])

    def test_a_reason_makes_it_fine(self):
        code = self.MEMBER + "void f() {\n  // order: a sum\n  for (auto& x : by_id_) sum += x.second;\n}\n"
        self.assertEqual(check_unordered(support.tree({"src/store/s.cc": code})), [])

    def test_other_walks_are_fine(self):
        code = self.MEMBER + "void f() { for (auto& x : sorted_) use(x); }\n"
        self.assertEqual(check_unordered(support.tree({"src/store/s.cc": code})), [])


if __name__ == "__main__":
    unittest.main()
