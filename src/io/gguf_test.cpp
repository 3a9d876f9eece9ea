#include "io/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/safetensors.h"
#include "io/test_folder.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kFixtures = std::filesystem::path(PARO_SOURCE_DIR) / "tests/fixtures/gguf";

/// Builds a file field by field.
class Bytes {
 public:
  template <typename T>
  Bytes& number(T value) {
    text_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& text(const std::string& value) {
    number<uint64_t>(value.size());
    text_ += value;
    return *this;
  }
  Bytes& head(uint64_t tensors, uint64_t pairs, uint32_t version = 3) {
    text_ += "GGUF";
    return number(version).number(tensors).number(pairs);
  }
  Bytes& tensor(const std::string& name, const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset) {
    text(name).number<uint32_t>(static_cast<uint32_t>(shape.size()));
    for (const uint64_t length : shape) number(length);
    return number(type).number(offset);
  }
  Bytes& data(size_t bytes, size_t alignment = 32) {
    text_.resize((text_.size() + alignment - 1) / alignment * alignment + bytes, '\0');
    return *this;
  }
  const std::string& str() const { return text_; }

 private:
  std::string text_;
};

std::string open_error(const Bytes& bytes) {
  const TestFolder folder;
  const auto path = folder.write("bad.gguf", bytes.str());
  const std::string message = input_error_of([&] { GgufFile::open(path); });
  if (!message.empty()) {
    EXPECT_THAT(message, HasSubstr("bad.gguf"));
  }
  return message;
}

TEST(Gguf, DequantizesEveryTypeAsTheReference) {
  const auto file = GgufFile::open(kFixtures / "types.gguf");
  const auto expected = SafetensorsFile::open(kFixtures / "types_expected.safetensors");
  ASSERT_EQ(file->tensors().size(), 15u);
  for (const TensorInfo& info : file->tensors()) {
    EXPECT_EQ(info.shape, (std::vector<int64_t>{2, 512})) << info.name;
    EXPECT_EQ(info.stored_type, info.name);
    EXPECT_EQ(file->load_f32(info.name), expected->load_f32(info.name)) << info.name;
    std::vector<float> row(512);
    file->read_rows_f32(info, 1, 1, row.data());
    const std::vector<float> whole = expected->load_f32(info.name);
    EXPECT_TRUE(std::equal(row.begin(), row.end(), whole.begin() + 512)) << info.name;
  }
}

TEST(Gguf, ReadsMetadata) {
  const auto file = GgufFile::open(kFixtures / "llama.gguf");
  EXPECT_EQ(file->string("general.architecture", ""), "llama");
  EXPECT_EQ(file->integer("llama.attention.head_count"), 4);
  EXPECT_EQ(file->number("llama.rope.freq_base", 0), 500000.0);
  EXPECT_TRUE(file->boolean("tokenizer.ggml.add_bos_token", false));
  ASSERT_NE(file->array("tokenizer.ggml.merges"), nullptr);
  EXPECT_EQ(file->array("tokenizer.ggml.merges")->strings[1], "th e");
  EXPECT_EQ(file->array("nothing"), nullptr);
  EXPECT_EQ(file->integer("nothing", 7), 7);
  EXPECT_THAT(input_error_of([&] { file->integer("nothing"); }), HasSubstr("\"nothing\" is missing"));
  EXPECT_THAT(input_error_of([&] { file->integer("general.architecture"); }), HasSubstr("expected an integer"));
}

TEST(Gguf, RefusesBadHeads) {
  EXPECT_THAT(open_error(Bytes()), HasSubstr("truncated"));
  EXPECT_THAT(open_error(Bytes().text("something else")), HasSubstr("not a GGUF file"));
  EXPECT_THAT(open_error(Bytes().head(0, 0, 1)), HasSubstr("expected GGUF version 2 or 3, found 1"));
  EXPECT_THAT(open_error(Bytes().head(0, 0, 0x03000000u)), HasSubstr("big-endian"));
  EXPECT_THAT(open_error(Bytes().head(uint64_t{1} << 60, 0)), HasSubstr("tensors: expected at most 0"));
  EXPECT_THAT(open_error(Bytes().head(0, uint64_t{1} << 60)), HasSubstr("metadata pairs: expected at most 0"));
  EXPECT_EQ(open_error(Bytes().head(0, 0)), "");
  EXPECT_EQ(open_error(Bytes().head(0, 0, 2)), "");
}

TEST(Gguf, RefusesBadMetadata) {
  const auto pair = [](uint32_t type) { return Bytes().head(0, 1).text("key").number(type); };
  EXPECT_THAT(open_error(pair(99).number<uint64_t>(0)), HasSubstr("\"key\": unknown value type 99"));
  EXPECT_THAT(open_error(pair(8).number(uint64_t{1} << 62)), HasSubstr("reaches beyond the file"));
  EXPECT_THAT(open_error(pair(9).number<uint32_t>(9).number<uint64_t>(1).number<uint64_t>(0)),
              HasSubstr("\"key\": arrays of arrays are not supported"));
  EXPECT_THAT(open_error(pair(9).number<uint32_t>(8).number(uint64_t{1} << 40)), HasSubstr("array: expected at most"));
  EXPECT_THAT(open_error(pair(9).number<uint32_t>(10).number<uint64_t>(1).number(~uint64_t{0})),
              HasSubstr("element 0 is out of range"));
  EXPECT_THAT(open_error(Bytes()
                             .head(0, 2)
                             .text("key")
                             .number<uint32_t>(7)
                             .number<uint8_t>(1)
                             .text("key")
                             .number<uint32_t>(7)
                             .number<uint8_t>(0)),
              HasSubstr("\"key\" is there twice"));
  const auto alignment = [](uint32_t value) {
    return open_error(Bytes().head(0, 1).text("general.alignment").number<uint32_t>(4).number(value));
  };
  EXPECT_EQ(alignment(64), "");
  EXPECT_THAT(alignment(0), HasSubstr("power of two"));
  EXPECT_THAT(alignment(48), HasSubstr("power of two"));
  EXPECT_THAT(alignment(0x80000000u), HasSubstr("power of two"));
  EXPECT_THAT(open_error(Bytes().head(0, 1).text("split.count").number<uint32_t>(2).number<uint16_t>(3)),
              HasSubstr("one of 3 parts"));
}

TEST(Gguf, RefusesBadTensors) {
  const auto one = [](const std::vector<uint64_t>& shape, uint32_t type, uint64_t offset, size_t data) {
    return open_error(Bytes().head(1, 0).tensor("w", shape, type, offset).data(data));
  };
  EXPECT_EQ(one({8, 2}, 0, 0, 64), "");
  EXPECT_EQ(one({64, 2}, 2, 0, 72), "");
  EXPECT_THAT(one({8, 2}, 0, 0, 63), HasSubstr("64 bytes at offset 0 reach beyond the 63"));
  EXPECT_THAT(one({8, 2}, 0, 8, 128), HasSubstr("multiple of 32, found 8"));
  EXPECT_THAT(one({8, 2}, 0, ~uint64_t{31}, 64), HasSubstr("out of range"));
  EXPECT_THAT(one({8, 2}, 0, uint64_t{1} << 62, 64), HasSubstr("beyond"));
  EXPECT_THAT(one({0}, 0, 0, 64), HasSubstr("dimension 0 of 0 is out of range"));
  EXPECT_THAT(one({uint64_t{1} << 40, uint64_t{1} << 40}, 0, 0, 64), HasSubstr("out of range"));
  EXPECT_THAT(one({uint64_t{1} << 62}, 28, 0, 64), HasSubstr("too large"));
  EXPECT_THAT(one({33}, 2, 0, 64), HasSubstr("whole Q4_0 blocks of 32, found rows of 33"));
  EXPECT_THAT(one({256}, 16, 0, 64), HasSubstr("type IQ2_XXS is not supported"));
  EXPECT_THAT(one({256}, 1234, 0, 64), HasSubstr("type number 1234 is not supported"));
  EXPECT_THAT(one({1, 1, 1, 1, 1}, 0, 0, 64), HasSubstr("at most 4 dimensions, found 5"));
  EXPECT_THAT(open_error(Bytes().head(2, 0).tensor("a", {8}, 0, 0).tensor("b", {8}, 0, 0).data(64)),
              HasSubstr("overlaps"));
  EXPECT_THAT(open_error(Bytes().head(2, 0).tensor("a", {8}, 0, 0).tensor("a", {8}, 0, 32).data(64)),
              HasSubstr("tensor \"a\" is there twice"));
}

TEST(Gguf, EveryTruncationIsAnError) {
  const std::string whole = read_file(kFixtures / "sentencepiece.gguf");
  const TestFolder folder;
  for (size_t size = 0; size < whole.size() - 32; size += 61) {
    const auto path = folder.write("cut.gguf", whole.substr(0, size));
    EXPECT_NE(input_error_of([&] { GgufFile::open(path); }), "") << size;
  }
}

}  // namespace
}  // namespace paro
