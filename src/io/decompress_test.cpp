#include "io/decompress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "io/test_folder.h"

namespace paro {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int64_t kLimit = 1 << 20;

/// Written by tools/fixtures/make_compressed.py with other software.
fs::path fixture(const std::string& name) { return fs::path(PARO_SOURCE_DIR) / "tests/fixtures/compressed" / name; }

TEST(Decompress, ReadsWhatOthersWrote) {
  const std::string text = read_file(fixture("text.txt"));
  const std::string lines = read_file(fixture("lines.jsonl"));
  for (const char* name : {"text.txt", "text.txt.gz", "members.txt.gz", "frames.txt.zst", "one.zip"})
    EXPECT_EQ(read_decompressed(fixture(name), kLimit).bytes, text) << name;
  for (const char* name : {"lines.jsonl", "lines.jsonl.gz", "lines.jsonl.zst", "train.zip"})
    EXPECT_EQ(read_decompressed(fixture(name), kLimit).bytes, lines) << name;
  EXPECT_EQ(read_decompressed(fixture("zeros.txt.zst"), 5'000'000).bytes, std::string(5'000'000, '0'));
}

TEST(Decompress, NamesTheContent) {
  EXPECT_EQ(read_decompressed(fixture("lines.jsonl.zst"), kLimit).name, "lines.jsonl");
  EXPECT_EQ(read_decompressed(fixture("text.txt"), kLimit).name, "text.txt");
  EXPECT_EQ(read_decompressed(fixture("train.zip"), kLimit).name, "t.train.jsonl");
}

class Damaged : public ::testing::Test {
 protected:
  std::string error_of(const std::string& name, const std::string& bytes) {
    const fs::path file = folder_.write(name, bytes);
    const std::string message = input_error_of([&] { read_decompressed(file, kLimit); });
    EXPECT_THAT(message, HasSubstr(file.string()));
    return message;
  }
  TestFolder folder_;
};

TEST_F(Damaged, EveryTruncationIsAnError) {
  for (const char* name : {"text.txt.gz", "members.txt.gz", "lines.jsonl.zst", "one.zip", "train.zip"}) {
    const std::string whole = read_file(fixture(name));
    for (size_t size = 5; size < whole.size(); size += 1 + whole.size() / 50) {
      // A file cut between two members is a whole file.
      if (name == std::string("members.txt.gz") && whole.compare(size, 2, "\x1f\x8b") == 0) continue;
      EXPECT_NE(error_of(name, whole.substr(0, size)), "") << name << " cut to " << size;
    }
  }
  const std::string gz = read_file(fixture("text.txt.gz"));
  EXPECT_THAT(error_of("a.gz", gz.substr(0, gz.size() / 2)), HasSubstr("truncated"));
  const std::string zst = read_file(fixture("lines.jsonl.zst"));
  EXPECT_THAT(error_of("a.zst", zst.substr(0, zst.size() - 1)), HasSubstr("truncated"));
}

TEST_F(Damaged, ChecksumsAreCompared) {
  std::string gz = read_file(fixture("text.txt.gz"));
  gz[gz.size() - 8] ^= 1;  // CRC-32
  EXPECT_THAT(error_of("a.gz", gz), HasSubstr("damaged"));
  std::string zst = read_file(fixture("lines.jsonl.zst"));
  zst.back() = static_cast<char>(zst.back() ^ 1);
  EXPECT_THAT(error_of("a.zst", zst), HasSubstr("damaged"));
  std::string zip = read_file(fixture("train.zip"));
  zip[zip.find("document 7")] = 'D';
  EXPECT_THAT(error_of("a.zip", zip), HasSubstr("checksum"));
}

TEST_F(Damaged, WhatIsNotWhatItsNameSays) {
  EXPECT_THAT(error_of("a.gz", "plain"), HasSubstr("expected gzip"));
  EXPECT_THAT(error_of("a.jsonl.zst", "{}"), HasSubstr("expected zstd"));
  EXPECT_THAT(error_of("a.zip", "text"), HasSubstr("expected zip"));
  EXPECT_THAT(error_of("a.gz", read_file(fixture("text.txt.gz")) + "more"), HasSubstr("4 bytes behind"));
  EXPECT_THAT(error_of("many.zip", read_file(fixture("many.zip"))), HasSubstr("found 0 of 2"));
}

TEST_F(Damaged, ContentBeyondTheLimit) {
  EXPECT_THAT(input_error_of([&] { read_decompressed(fixture("zeros.txt.zst"), kLimit); }), HasSubstr("at most"));
  EXPECT_THAT(input_error_of([&] { read_decompressed(fixture("text.txt.gz"), 1000); }), HasSubstr("at most 1000"));
  EXPECT_THAT(input_error_of([&] { read_decompressed(fixture("one.zip"), 1000); }), HasSubstr("at most 1000"));
  EXPECT_THAT(input_error_of([&] { read_decompressed(fixture("text.txt"), 1000); }), HasSubstr("at most 1000"));
}

TEST_F(Damaged, PaddingBehindGzipIsFine) {
  const std::string gz = read_file(fixture("text.txt.gz")) + std::string(512, '\0');
  EXPECT_EQ(read_decompressed(folder_.write("p.gz", gz), kLimit).bytes, read_file(fixture("text.txt")));
}

}  // namespace
}  // namespace paro
