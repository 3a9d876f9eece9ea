// A file of arrays that were prepared from a checkpoint at its first load (weights in the kernels' layout), so that the
// next start maps them instead of making them again. Sections are found by name; what they mean is the caller's
// business. Nothing here fails a load: a file that is damaged, stale or of another layout is as good as none.
//
// Layout, little-endian: 96 bytes (magic, version, the caller's layout, size of the file, offset and size of the table,
// first half of the table's SHA-256, 8 zeros, the key), sections at multiples of 64, the table (JSON, {"name": [offset,
// bytes]}).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"

namespace paro {

struct PreparedOptions {
  std::filesystem::path folder;                 // empty: no cache
  int64_t min_bytes = int64_t{32} << 20;        // less is made again in a moment
  int64_t max_total_bytes = int64_t{20} << 30;  // of all files; those used longest ago go first
  int64_t max_files = 8;

  /// PARO_CACHE/prepared, else XDG_CACHE_HOME/paro/prepared, else ~/.cache/paro/prepared; no cache when
  /// PARO_PREPARED_CACHE is 0 or off, or none of these is set.
  static PreparedOptions from_environment();
};

/// 32 hexadecimal digits that differ for checkpoints that differ: of each file the name, size, time of change, inode,
/// its first 64 KiB and 64 samples spread over it; and `layout`. Empty when a file cannot be read or there is none.
std::string prepared_key(const std::vector<std::filesystem::path>& files, uint32_t layout);

class PreparedCache {
 public:
  /// Maps the file of `key` when it is there and whole. An empty key or folder gives a cache that holds nothing.
  PreparedCache(PreparedOptions options, std::string key, uint32_t layout);
  /// Waits for save().
  ~PreparedCache();
  PreparedCache(const PreparedCache&) = delete;
  PreparedCache& operator=(const PreparedCache&) = delete;

  /// False: find() finds nothing and add() does nothing.
  bool enabled() const { return !path_.empty(); }
  /// The section of exactly so many bytes (64-byte aligned), or an empty span.
  std::span<const std::byte> find(const std::string& name, int64_t bytes) const;
  /// Keeps what find() gave alive.
  std::shared_ptr<const void> owner() const { return file_; }
  /// For the file that save() writes. The bytes must neither change nor go before that is done.
  void add(const std::string& name, std::span<const std::byte> bytes);
  /// Writes the file, in a thread of its own, if anything was added: what it held and what was added. Quietly does
  /// nothing when it would be too small, too large, the disk lacks its size and a tenth, or the folder cannot be
  /// written.
  void save();

 private:
  bool map();
  void write(const std::map<std::string, std::span<const std::byte>>& sections) const;
  void make_room(int64_t bytes) const;

  PreparedOptions options_;
  std::string key_;
  uint32_t layout_;
  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  std::map<std::string, std::span<const std::byte>> found_;  // in file_
  std::map<std::string, std::span<const std::byte>> added_;
  std::thread writer_;
};

}  // namespace paro
