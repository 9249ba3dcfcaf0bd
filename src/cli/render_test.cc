// Every format against a golden file. With --rewrite the file gets what is written now: review the
// difference.
#include "cli/render.h"

#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/kv_report.h"

namespace lockstep::cli {

bool rewrite = false;

namespace {

constexpr const char* golden_path = "src/cli/testdata/render.txt";

Report keys() {
  store::KeyValue plain;
  plain.key = "config/greeting";
  plain.value = "hello \"world\"\n";
  plain.create_revision = Revision(2);
  plain.mod_revision = Revision(12345);
  plain.version = 3;
  store::KeyValue binary;
  binary.key = std::string("bin\0\xff", 5);
  binary.value = "gr\xc3\xbc\xc3\x9f \\";
  binary.create_revision = binary.mod_revision = Revision(7);
  binary.version = 1;
  binary.lease = LeaseId(0x694d5765fc71500b);
  Report report;
  report.detail("revision", std::int64_t{12345}).detail("more", false);
  add_kvs(report, {plain, binary}, false);
  return report;
}

Report facts() {
  Report report;
  report.fact("operation", std::string("put"))
      .fact("requests", std::uint64_t{18446744073709551615U})
      .fact("p50_us", 12.5)
      .fact("errors", std::vector<std::string>{"1 x a, b", "true"})
      .fact("nothing", Value())
      .fact("failed", true);
  return report;
}

Report empty_table() {
  Report report;
  report.fact("cluster", std::string("1f"));
  report.table("members", {"id", "peer_urls"});
  return report;
}

std::string everything() {
  std::ostringstream out;
  for (const auto& [name, report] :
       {std::pair("keys", keys()), std::pair("facts", facts()), std::pair("empty table", empty_table())}) {
    for (const Format format : {Format::table, Format::json, Format::yaml, Format::ndjson, Format::raw})
      out << "=== " << name << " as " << to_string(format) << "\n" << render(report, format);
  }
  const Table table = keys().tables[0];
  for (const Format format : {Format::table, Format::json, Format::yaml, Format::ndjson, Format::raw}) {
    out << "=== row by row as " << to_string(format) << "\n";
    for (std::size_t i = 0; i < table.rows.size(); ++i)
      out << render_row(table, table.rows[i], format, i == 0);
  }
  return out.str();
}

TEST(Render, IsAsInTheGoldenFile) {
  std::ifstream file(golden_path, std::ios::binary);
  std::ostringstream expected;
  expected << file.rdbuf();
  const std::string actual = everything();
  if (rewrite && actual != expected.str()) {
    std::ofstream(golden_path, std::ios::binary) << actual;
    return;
  }
  EXPECT_EQ(actual, expected.str());
}

TEST(Render, TheMachineReadableFormatsParse) {
  for (const Report& report : {keys(), facts(), empty_table()}) {
    const auto document = nlohmann::json::parse(render(report, Format::json));
    EXPECT_EQ(document.at("schema"), schema_version);
    std::istringstream lines(render(report, Format::ndjson));
    for (std::string line; std::getline(lines, line);) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
}

}  // namespace
}  // namespace lockstep::cli

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  lockstep::cli::rewrite = argc > 1 && std::string_view(argv[1]) == "--rewrite";
  return RUN_ALL_TESTS();
}
