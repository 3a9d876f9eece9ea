#include "base/json.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/error.h"

namespace paro {
namespace {

TEST(Json, KeepsOrderAndTheLastOfRepeatedKeys) {
  const Json value = parse_json(R"({"b": 1, "a": {"x": [1, 2.5, "s", null, true]}, "b": 2})", "t");
  EXPECT_EQ(dump_json(value), R"({"b":2,"a":{"x":[1,2.5,"s",null,true]}})");
}

TEST(Json, RefusesDeepNestingAndMalformedText) {
  EXPECT_NO_THROW(parse_json(std::string(200, '[') + std::string(200, ']'), "t"));
  EXPECT_THROW(parse_json(std::string(201, '[') + std::string(201, ']'), "t"), Error);
  EXPECT_THROW(parse_json(std::string(1 << 20, '['), "t"), Error);
  for (const char* text : {"", "{", "[1,]", "{\"a\" 1}", "\"\xff\"", "1 2", "nul", "1e999"})
    EXPECT_THROW(parse_json(text, "t"), Error) << text;
}

TEST(Json, LargeObjectsParseInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 100000; ++i) text += "\"key" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  text.back() = '}';
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(text, "t").size(), 100000u);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace paro
