#include "io/text_documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_folder.h"

namespace paro {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// "role: content;" for each message, and the number of tools.
std::string render(const Json& messages, const Json& tools) {
  std::string text;
  for (const Json& message : messages)
    text += message["role"].get<std::string>() + ": " + message["content"].get<std::string>() + ";";
  return text + (tools.is_null() ? "" : std::to_string(tools.size()));
}

class Documents : public ::testing::Test {
 protected:
  std::vector<std::string> read(const std::string& name, const std::string& bytes) {
    return read_documents(folder_.write(name, bytes), render);
  }
  std::string error_of(const std::string& name, const std::string& bytes) {
    const auto file = folder_.write(name, bytes);
    const std::string message = input_error_of([&] { read_documents(file, render); });
    EXPECT_THAT(message, HasSubstr(file.string()));
    return message;
  }
  TestFolder folder_;
};

TEST_F(Documents, PlainTextIsOne) {
  EXPECT_THAT(read("a.txt", "one\n\n{\"text\": 1}\n"), ElementsAre("one\n\n{\"text\": 1}\n"));
  EXPECT_THAT(read("a", "[1]"), ElementsAre("[1]"));
}

TEST_F(Documents, LinesOfRecords) {
  const std::string lines =
      "{\"text\": \"one\"}\n\n{\"content\": \"two\", \"more\": [1]}\r\n{\"text\": null, \"content\": \"three\"}";
  for (const char* name : {"a.jsonl", "a.ndjson", "a.json"})
    EXPECT_THAT(read(name, lines), ElementsAre("one\n\n", "two\n\n", "three\n\n"));
  EXPECT_THAT(read("list.json", " [{\"text\": \"one\"},\n {\"text\": \"two\"}]"), ElementsAre("one\n\n", "two\n\n"));
}

TEST_F(Documents, ConversationsAreRendered) {
  const std::string messages =
      R"({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}], "text": "not this"})";
  const std::string tools = R"({"messages": [{"role": "user", "content": "hi"}], "tools": [{}, {}]})";
  const std::string shared =
      R"({"system": "be", "conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]})";
  const std::string roles = R"({"conversations": [{"role": "user", "content": "hi"}]})";
  EXPECT_THAT(read("a.jsonl", messages + "\n" + tools + "\n" + shared + "\n" + roles),
              ElementsAre("user: hi;assistant: ho;", "user: hi;2", "system: be;user: hi;assistant: ho;", "user: hi;"));
}

TEST_F(Documents, ErrorsNameTheLine) {
  const std::string good = "{\"text\": \"one\"}\n\n";
  EXPECT_THAT(error_of("a.jsonl", good + "{\"text\": 2}"), HasSubstr("a.jsonl:3: \"text\""));
  EXPECT_THAT(error_of("a.jsonl", good + "{\"text\": \"cut"), HasSubstr("a.jsonl:3"));
  EXPECT_THAT(error_of("a.jsonl", good + "{\"body\": \"x\", \"id\": 1}"), HasSubstr("found \"body\", \"id\""));
  for (const char* line : {"[1, 2]", "\"text\"", "7", "null"})
    EXPECT_THAT(error_of("a.jsonl", good + line), HasSubstr("a.jsonl:3: expected an object")) << line;
  EXPECT_THAT(error_of("a.json", "[{\"text\": \"one\"}, {}]"), HasSubstr("record 2: expected \"text\""));
  EXPECT_THAT(error_of("a.jsonl", R"({"messages": "hi"})"), HasSubstr("a.jsonl:1: expected a list of messages"));
  EXPECT_THAT(error_of("a.jsonl", R"({"messages": []})"), HasSubstr("empty list"));
  EXPECT_THAT(error_of("a.jsonl", R"({"messages": [{"content": "x"}]})"), HasSubstr("a.jsonl:1: message 1"));
  EXPECT_THAT(error_of("a.jsonl", R"({"conversations": [{"from": "dog", "value": "x"}]})"), HasSubstr("\"dog\""));
  EXPECT_THAT(error_of("a.jsonl", R"({"conversations": [{"from": "gpt"}]})"), HasSubstr("value"));
  EXPECT_THAT(error_of("a.jsonl", R"({"conversations": [3]})"), HasSubstr("expected objects"));
}

TEST_F(Documents, WhatHoldsNoText) {
  EXPECT_THAT(error_of("a.txt", ""), HasSubstr("found none"));
  EXPECT_THAT(error_of("a.jsonl", "\n\n"), HasSubstr("found none"));
  EXPECT_THAT(error_of("a.json", "[]"), HasSubstr("found none"));
  EXPECT_THAT(error_of("a.txt", std::string("ab\0c", 4)), HasSubstr("a byte 0 at 2"));
  EXPECT_THAT(error_of("a.parquet", "PAR1...."), HasSubstr("duckdb"));
  EXPECT_THAT(error_of("b.txt", "PAR1...."), HasSubstr("Parquet"));
}

TEST_F(Documents, AConversationNeedsATemplate) {
  const auto file = folder_.write("a.jsonl", R"({"messages": [{"role": "user", "content": "hi"}]})");
  EXPECT_THAT(input_error_of([&] { read_documents(file, {}); }), HasSubstr("no chat template"));
  const auto failing = [](const Json&, const Json&) -> std::string { fail_input("roles must alternate"); };
  EXPECT_THAT(input_error_of([&] { read_documents(file, failing); }), HasSubstr("a.jsonl:1: roles must alternate"));
}

}  // namespace
}  // namespace paro
