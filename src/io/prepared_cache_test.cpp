#include "io/prepared_cache.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/files.h"
#include "io/test_folder.h"

namespace paro {
namespace {

constexpr uint32_t kLayout = 7;
const std::string kKey = "0123456789abcdef0123456789abcdef";

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

class PreparedCacheTest : public ::testing::Test {
 protected:
  PreparedCacheTest() {
    options_.folder = folder_.path() / "prepared";
    options_.min_bytes = 0;
  }
  void save(const std::string& key = kKey, uint32_t layout = kLayout) const {
    PreparedCache cache(options_, key, layout);
    cache.add("a", bytes_of(a_));
    cache.add("b", bytes_of(b_));
    cache.save();
  }
  bool has_all(const std::string& key = kKey, uint32_t layout = kLayout) const {
    const PreparedCache cache(options_, key, layout);
    return text_of(cache.find("a", std::ssize(a_))) == a_ && text_of(cache.find("b", std::ssize(b_))) == b_;
  }
  std::filesystem::path file(const std::string& key = kKey) const { return options_.folder / (key + ".bin"); }

  TestFolder folder_;
  PreparedOptions options_;
  std::string a_ = std::string(1000, 'a');
  std::string b_ = "b";
};

TEST_F(PreparedCacheTest, GivesBackWhatWasSaved) {
  EXPECT_FALSE(has_all());
  save();
  EXPECT_TRUE(has_all());
  const PreparedCache cache(options_, kKey, kLayout);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(cache.find("b", 1).data()) % 64, 0u);
  EXPECT_TRUE(cache.find("b", 2).empty()) << "another size";
  EXPECT_TRUE(cache.find("c", 1).empty());
}

TEST_F(PreparedCacheTest, AddsToWhatIsThere) {
  save();
  const std::string more = "more";
  {
    PreparedCache cache(options_, kKey, kLayout);
    cache.add("c", bytes_of(more));
    cache.save();
  }
  EXPECT_TRUE(has_all());
  const PreparedCache cache(options_, kKey, kLayout);
  EXPECT_EQ(text_of(cache.find("c", 4)), more);
}

TEST_F(PreparedCacheTest, OtherKeysAndLayoutsFindNothing) {
  save();
  EXPECT_FALSE(has_all(std::string(32, 'f')));
  EXPECT_FALSE(has_all(kKey, kLayout + 1));
  std::filesystem::rename(file(), file(std::string(32, 'f')));
  EXPECT_FALSE(has_all(std::string(32, 'f'))) << "the key is in the file, too";
  EXPECT_FALSE(has_all("")) << "no key, no cache";
}

// Whatever happens to the header or the table, the file is as good as none, and is written anew.
TEST_F(PreparedCacheTest, DamagedFilesAreIgnoredAndReplaced) {
  save();
  const std::string whole = read_file(file());
  const auto is_ignored = [&](const std::string& bytes) {
    write_file(file(), bytes);
    return !has_all();
  };
  for (const size_t size : {size_t{0}, size_t{10}, size_t{95}, size_t{96}, whole.size() / 2, whole.size() - 1})
    EXPECT_TRUE(is_ignored(whole.substr(0, size))) << "cut to " << size;
  EXPECT_TRUE(is_ignored(whole + "x"));
  const size_t table = whole.rfind("{");
  for (size_t at = 0; at < whole.size(); ++at) {
    if (at >= 56 && at < 64) continue;     // reserved
    if (at >= 96 && at < table) continue;  // sections: only the table has a checksum
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 0x41);
    EXPECT_TRUE(is_ignored(flipped)) << "byte " << at;
  }
  save();
  EXPECT_TRUE(has_all());
}

TEST_F(PreparedCacheTest, KeepsWithinItsBounds) {
  options_.max_files = 3;
  const auto key = [](char c) { return std::string(32, c); };
  for (const char c : {'1', '2', '3'}) {
    save(key(c));
    // Older ones first, whatever the clock's resolution.
    std::filesystem::last_write_time(
        file(key(c)), std::filesystem::file_time_type::clock::now() - std::chrono::hours(10 - (c - '0')));
  }
  EXPECT_TRUE(has_all(key('1'))) << "and is now the one used last";
  save(key('4'));
  EXPECT_TRUE(std::filesystem::exists(file(key('1'))));
  EXPECT_FALSE(std::filesystem::exists(file(key('2'))));
  EXPECT_TRUE(std::filesystem::exists(file(key('3'))));
  options_.max_total_bytes = 1100;
  save(key('5'));
  EXPECT_TRUE(has_all(key('5')));
  EXPECT_FALSE(std::filesystem::exists(file(key('4'))));
  options_.max_total_bytes = 1000;
  save(key('6'));
  EXPECT_FALSE(std::filesystem::exists(file(key('6')))) << "larger than all may be";
  options_.min_bytes = 1 << 20;
  options_.max_total_bytes = 2 << 20;
  save(key('7'));
  EXPECT_FALSE(std::filesystem::exists(file(key('7')))) << "too small to be worth it";
}

TEST_F(PreparedCacheTest, WithoutAFolderNothingIsWrittenAndNothingFails) {
  folder_.write("file", "");
  options_.folder = folder_.path() / "file" / "below";
  save();
  EXPECT_FALSE(has_all());
  options_.folder.clear();
  save();
  EXPECT_FALSE(has_all());
}

TEST(PreparedKey, DiffersWithContentNameTimeAndLayout) {
  const TestFolder folder;
  std::string data(300'000, 'x');
  const auto path = folder.write("model.safetensors", data);
  const std::string key = prepared_key({path}, 1);
  EXPECT_EQ(key.size(), 32u);
  EXPECT_EQ(prepared_key({path}, 1), key);
  EXPECT_NE(prepared_key({path}, 2), key);
  EXPECT_NE(prepared_key({path, path}, 1), key);
  const auto time = std::filesystem::last_write_time(path);
  std::filesystem::last_write_time(path, time + std::chrono::seconds(1));
  EXPECT_NE(prepared_key({path}, 1), key);
  data[10] = 'y';
  folder.write("model.safetensors", data);
  std::filesystem::last_write_time(path, time);
  EXPECT_NE(prepared_key({path}, 1), key);
  EXPECT_EQ(prepared_key({folder.path() / "missing"}, 1), "");
  EXPECT_EQ(prepared_key({}, 1), "");
}

}  // namespace
}  // namespace paro
