"""Each bad include is found, and the like good one is not."""

import unittest

import support  # noqa: F401  (finds the modules under test)
from layers import check_includes


def messages(files):
    return [str(finding) for finding in check_includes(support.tree(files))]


class Layers(unittest.TestCase):
    def test_upward_include_is_found(self):
        found = messages({"src/raft/core.cc": '#include "base/ids.h"\n#include "store/store.h"\n'})
        self.assertEqual(found, ["src/raft/core.cc:2: [layers] raft (level 2) may not know store (level 3)"])

    def test_peers_do_not_include_each_other(self):
        found = messages({"src/log/log.h": '#include "store/store.h"\n'})
        self.assertEqual(len(found), 1)
        self.assertIn("peers", found[0])

    def test_downward_include_is_fine(self):
        self.assertEqual(messages({"src/replica/replica.h": '#include "raft/core.h"\n#include "watch/hub.h"\n'}), [])

    def test_platform_knows_only_the_ports(self):
        found = messages({"src/platform/disk.cc": '#include "env/disk.h"\n#include "raft/core.h"\n'})
        self.assertEqual(len(found), 1)
        self.assertIn("may include only base, env", found[0])

    def test_sim_links_everything_but_its_peer(self):
        found = messages({"src/sim/world.cc": '#include "replica/replica.h"\n#include "platform/disk.h"\n'})
        self.assertEqual(len(found), 1)
        self.assertIn("peers", found[0])

    def test_a_test_may_stand_on_the_simulator(self):
        self.assertEqual(messages({"src/log/log_test.cc": '#include "sim/disk.h"\n'}), [])
        self.assertEqual(messages({"src/log/testing_support.h": '#include "sim/disk.h"\n'}), [])
        self.assertEqual(len(messages({"src/log/log.cc": '#include "sim/disk.h"\n'})), 1)

    def test_a_test_does_not_see_other_layers_above(self):
        self.assertEqual(len(messages({"src/log/log_test.cc": '#include "replica/replica.h"\n'})), 1)

    def test_third_party_headers_stay_where_they_belong(self):
        self.assertEqual(len(messages({"src/store/state.cc": "#include <rocksdb/db.h>\n"})), 1)
        self.assertEqual(len(messages({"src/replica/replica.h": "#include <boost/asio.hpp>\n"})), 1)
        self.assertEqual(len(messages({"src/raft/core.cc": "#include <gtest/gtest.h>\n"})), 1)
        self.assertEqual(messages({"src/engine/rocks.cc": "#include <rocksdb/db.h>\n"}), [])
        self.assertEqual(messages({"src/raft/core_test.cc": "#include <gtest/gtest.h>\n"}), [])

    def test_paths_are_written_from_src(self):
        found = messages({"src/raft/core.cc": '#include "core.h"\n'})
        self.assertEqual(len(found), 1)
        self.assertIn('"raft/core.h"', found[0])

    def test_an_unknown_folder_needs_a_level(self):
        self.assertEqual(len(messages({"src/magic/wand.cc": "int x;\n"})), 1)

    def test_public_headers_of_the_sdk_stand_on_the_standard_library(self):
        header = "sdk/cpp/include/lockstep/lock.h"
        self.assertEqual(messages({header: '#include <memory>\n#include "lockstep/outcome.h"\n'}), [])
        for line in ('#include "store/types.h"\n', "#include <boost/asio.hpp>\n", "#include <nlohmann.h>\n",
                     "#include <lockstep/outcome.h>\n"):
            self.assertEqual(len(messages({header: line})), 1, line)

    def test_the_sdk_stands_on_recipes_not_on_programs(self):
        self.assertEqual(messages({"sdk/cpp/src/lock.cc": '#include "service/lock/lock.h"\n'}), [])
        self.assertEqual(len(messages({"sdk/cpp/src/lock.cc": '#include "gateway/http.h"\n'})), 1)


if __name__ == "__main__":
    unittest.main()
