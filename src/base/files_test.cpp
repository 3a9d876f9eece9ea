#include "base/files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "base/error.h"

namespace paro {
namespace {

namespace fs = std::filesystem;

class Files : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "paro-files-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  int64_t entries() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator()); }

  fs::path folder_;
};

template <typename Body>
void expect_error(ErrorKind kind, const std::string& part, const Body& body) {
  try {
    body();
    ADD_FAILURE() << "expected an error with: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST_F(Files, WriteReadMap) {
  const fs::path path = folder_ / "a";
  for (const std::string& text : {std::string("hello"), std::string(), std::string(100000, 'x')}) {
    write_file(path, text);
    EXPECT_EQ(read_file(path), text);
    const auto mapped = MappedFile::open(path);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(mapped->bytes().data()), mapped->bytes().size()), text);
    EXPECT_EQ(entries(), 1);
  }
}

TEST_F(Files, WithoutCommitNothingChanges) {
  const fs::path path = folder_ / "a";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new, but never committed");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_EQ(entries(), 1);
}

TEST_F(Files, WhatIsNoRegularFileIsRefusedAtOnce) {
  ASSERT_EQ(::mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  for (const auto& [name, part] : {std::pair{"fifo", "regular file"}, {".", "a folder"}, {"none", "cannot open"}}) {
    const fs::path path = folder_ / name;
    expect_error(ErrorKind::kInput, part, [&] { read_file(path); });
    expect_error(ErrorKind::kInput, part, [&] { MappedFile::open(path); });
  }
  expect_error(ErrorKind::kInput, "regular file", [] { read_file("/dev/zero"); });
}

TEST_F(Files, TooLargeIsRefusedBeforeReading) {
  const fs::path path = folder_ / "large";
  write_file(path, "");
  fs::resize_file(path, uintmax_t{1} << 40);  // sparse
  expect_error(ErrorKind::kInput, "at most 1000 bytes", [&] { read_file(path, 1000); });
}

TEST_F(Files, FullDiskIsALimitAndLeavesNothingBehind) {
  const fs::path path = folder_ / "a";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::kLimit, path.string(), [&] { write_file(path, std::string(100000, 'x')); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(entries(), 0);
}

TEST_F(Files, WhereNothingCanBeWritten) {
  expect_error(ErrorKind::kInput, "cannot write", [&] { write_file(folder_ / "none" / "a", "x"); });
  write_file(folder_ / "file", "x");
  expect_error(ErrorKind::kInput, "file", [&] { make_writable_folder(folder_ / "file"); });
  expect_error(ErrorKind::kInput, "file", [&] { make_writable_folder(folder_ / "file" / "below"); });
  make_writable_folder(folder_ / "x" / "y");
  EXPECT_TRUE(fs::is_directory(folder_ / "x" / "y"));
  // Renaming onto a folder fails late; the temporary file must not stay.
  expect_error(ErrorKind::kInput, "cannot write", [&] { write_file(folder_ / "x", "x"); });
  EXPECT_EQ(entries(), 2);
}

}  // namespace
}  // namespace paro
