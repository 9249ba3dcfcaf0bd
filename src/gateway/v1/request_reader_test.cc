// Requests as tables: what is taken, and every way to be refused, with its place.
#include "gateway/v1/request_reader.h"

#include <string>

#include <gtest/gtest.h>

namespace lockstep::gateway::v1 {
namespace {

using std::string_literals::operator""s;

const Fields& table() {
  static const Fields fields = {
      bytes_field("name", "").required().between(1, 8),
      integer_field("ttl_ms", "").between(1, 1000),
      boolean_field("force", ""),
      text_field("mode", "").one_of({"read", "write"}),
      bytes_list_field("names", "").between(1, 2),
      object_list_field("writes", "", {bytes_field("key", "").required(), integer_field("count", "")})
          .between(1, 2),
  };
  return fields;
}

std::string refused(const std::string& text) {
  Arguments arguments;
  const std::optional<Misread> misread = read_body(text, table(), &arguments);
  return misread.has_value() ? misread->pointer + ": " + misread->why : "taken";
}

TEST(RequestReader, TakesWhatTheTableHolds) {
  Arguments arguments;
  const std::string body = R"( {"name_base64":"AP8=","ttl_ms":1000,"force":true,"mode":"read",
      "names":["a","b"],"writes":[{"key":"x"},{"key":"y","count":-3}]} )";
  ASSERT_FALSE(read_body(body, table(), &arguments).has_value());
  EXPECT_EQ(arguments.text("name"), "\0\xff"s);
  EXPECT_EQ(arguments.integer("ttl_ms"), 1000);
  EXPECT_TRUE(arguments.boolean("force"));
  EXPECT_EQ(arguments.text("mode"), "read");
  EXPECT_EQ(arguments.texts("names"), (std::vector<std::string>{"a", "b"}));
  ASSERT_EQ(arguments.objects("writes").size(), 2);
  EXPECT_EQ(arguments.objects("writes")[1].text("key"), "y");
  EXPECT_EQ(arguments.objects("writes")[1].integer("count"), -3);
  ASSERT_FALSE(read_body(R"({"name":"a"})", table(), &arguments).has_value());
  EXPECT_FALSE(arguments.has("ttl_ms"));
  EXPECT_EQ(arguments.integer("ttl_ms", 7), 7);
}

// Any JSON of a user comes through as it is, but for white space.
TEST(RequestReader, HandsJsonOn) {
  const Fields fields = {json_field("definition", "").between(0, 90), integer_field("after", "")};
  Arguments arguments;
  const auto read = [&](const std::string& text) {
    const std::optional<Misread> misread = read_body(text, fields, &arguments);
    return misread.has_value() ? misread->pointer + ": " + misread->why : arguments.text("definition");
  };
  const std::string nested = R"({"a":[1,-2.50,1e3,18446744073709551615,[],{}],"b":{"c":null,"d":"\"x"}})";
  EXPECT_EQ(read("{\"after\":1,\"definition\":" + nested + "}"), nested);
  EXPECT_EQ(read(R"({ "definition" : [ true , { "a" : "b" } , false ] , "after" : 7 })"),
            R"([true,{"a":"b"},false])");
  EXPECT_EQ(arguments.integer("after"), 7);
  EXPECT_EQ(read(R"({"definition":"text"})"), R"("text")");
  EXPECT_EQ(read(R"({"definition":null})"), "null");
  EXPECT_EQ(read(R"({"definition":7.0})"), "7.0");
  EXPECT_EQ(read(R"({"definition":{"a":1}x})"), "/definition: not JSON: syntax error");
  EXPECT_EQ(read(R"({"definition":{},"definition":{}})"), "/definition: is given twice");
  EXPECT_EQ(read(R"({"definition":{},"other":{}})"), ": there is no field 'other'");
  EXPECT_EQ(read("{\"definition\":\"" + std::string(90, 'x') + "\"}"),
            "/definition: JSON of at most 90 bytes was expected");
  EXPECT_EQ(read("{\"definition\":[" + std::string(80, '[') + "}"), "/definition: not JSON: too deep");
}

TEST(RequestReader, RefusesEverythingElseWithItsPlace) {
  EXPECT_EQ(refused(""), "/name: is missing; give 'name' or 'name_base64'");
  EXPECT_EQ(refused("{"), ": the JSON ends too early");
  EXPECT_EQ(refused(R"({"name":"a"}x)"), ": something follows the object at byte 12");
  EXPECT_EQ(refused(R"({"name":"a","name":"b"})"), "/name: is given twice, or both as text and in base64");
  EXPECT_EQ(refused(R"({"name":"a","name_base64":"YQ=="})"),
            "/name_base64: is given twice, or both as text and in base64");
  EXPECT_EQ(refused(R"({"name":"a","colour":1})"), ": there is no field 'colour'");
  EXPECT_EQ(refused(R"({"name":"a","ttl_ms_base64":1})"), ": there is no field 'ttl_ms_base64'");
  EXPECT_EQ(refused(R"({"name":7})"), "/name: a string was expected");
  EXPECT_EQ(refused(R"({"name":null})"), "/name: a string was expected");
  EXPECT_EQ(refused(R"({"name":""})"), "/name: a string of 1 to 8 bytes was expected");
  EXPECT_EQ(refused(R"({"name":"123456789"})"), "/name: a string of 1 to 8 bytes was expected");
  EXPECT_EQ(refused(R"({"name_base64":"Y*=="})"), "/name_base64: not base64");
  for (const char* number : {"0", "-1", "1001", "1.5", "1e400", "9223372036854775808", "\"5\"", "[]", "{}"}) {
    EXPECT_EQ(refused(R"({"ttl_ms":)" + std::string(number) + "}"),
              "/ttl_ms: an integer between 1 and 1000 was expected")
        << number;
  }
  EXPECT_EQ(refused(R"({"ttl_ms":NaN})"), "/ttl_ms: not JSON: syntax error");
  EXPECT_EQ(refused(R"({"force":1})"), "/force: true or false was expected");
  EXPECT_EQ(refused(R"({"mode":"other"})"), "/mode: one of read, write was expected");
  EXPECT_EQ(refused(R"({"names":"a"})"), "/names: an array of strings was expected");
  EXPECT_EQ(refused(R"({"names":[]})"), "/names: an array of 1 to 2 elements was expected");
  EXPECT_EQ(refused(R"({"names":["a","b","c"]})"), "/names/2: an array of 1 to 2 elements was expected");
  EXPECT_EQ(refused(R"({"names":["a",["b"]]})"), "/names/1: an array of strings was expected");
  EXPECT_EQ(refused(R"({"writes":[{"key":"a"},{"count":1}]})"),
            "/writes/1/key: is missing; give 'key' or 'key_base64'");
  EXPECT_EQ(refused(R"({"writes":[{"key":"a","value":1}]})"), "/writes/0: there is no field 'value'");
  EXPECT_EQ(refused(R"({"writes":{"key":"a"}})"), "/writes: an array of objects was expected");
  EXPECT_EQ(refused("[]"), ": an object was expected");
  EXPECT_EQ(refused("7"), ": an object was expected");
  EXPECT_EQ(refused("\xef\xbb\xbf{}"), ": not JSON: syntax error");
  EXPECT_EQ(refused(R"({/* a name */"name":"a"})"), ": not JSON: syntax error");
  EXPECT_NE(refused("{\"name\":\"\xff\"}"), "taken");
  EXPECT_NE(refused(R"({"name":"\ud800"})"), "taken");
  EXPECT_NE(refused(R"({"names":)" + std::string(65, '[')), "taken");
}

TEST(RequestReader, TakesQueries) {
  const Fields fields = {bytes_field("name", "").required().between(1, 8),
                         integer_field("limit", "").between(0, 9), boolean_field("prefix", "")};
  Arguments arguments;
  ASSERT_FALSE(read_query("name=a%20b+c&limit=9&prefix=true", fields, &arguments).has_value());
  EXPECT_EQ(arguments.text("name"), "a b c");
  EXPECT_EQ(arguments.integer("limit"), 9);
  EXPECT_TRUE(arguments.boolean("prefix"));
  ASSERT_FALSE(read_query("name_base64=AP8%3D", fields, &arguments).has_value());
  EXPECT_EQ(arguments.text("name"), "\0\xff"s);
  const auto why = [&](std::string_view query) {
    const std::optional<Misread> misread = read_query(query, fields, &arguments);
    return misread.has_value() ? misread->pointer + ": " + misread->why : "taken";
  };
  EXPECT_EQ(why(""), "/name: is missing; give 'name' or 'name_base64'");
  EXPECT_EQ(why("name=a&name=b"), "/name: is given twice");
  EXPECT_EQ(why("name=a&limit=10"), "/limit: an integer between 0 and 9 was expected");
  EXPECT_EQ(why("name=a&limit="), "/limit: an integer between 0 and 9 was expected");
  EXPECT_EQ(why("name=a&prefix=1"), "/prefix: true or false was expected");
  EXPECT_EQ(why("name=%zz"), ": the query has a broken escape");
  EXPECT_EQ(why("name=a&x=1"), ": there is no field 'x'");
}

}  // namespace
}  // namespace lockstep::gateway::v1
