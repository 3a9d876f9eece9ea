// Files: mapping, whole reads, and writing that is atomic (temporary name, then rename).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace paro {

/// A read-only memory mapping of a regular file. Throws Error{kInput} naming the file when it cannot be opened.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  /// Hints: `part` of bytes() is read whole soon (it begins to come from the disk); it has been read (its whole pages
  /// leave this process's memory, not the system's cache).
  void will_read(std::span<const std::byte> part) const;
  void was_read(std::span<const std::byte> part) const;

 private:
  MappedFile() = default;
  void advise(std::span<const std::byte> part, int advice) const;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// The whole of a regular file. Throws Error{kInput}: missing, unreadable, a folder or device, or larger than
/// `max_bytes` (checked before anything is allocated).
std::string read_file(const std::filesystem::path& path, int64_t max_bytes = int64_t{1} << 30);

/// Writes next to `path` under a temporary name; commit() flushes and renames. Destroyed without commit, the
/// temporary file is removed. A device or pipe (/dev/stdout) is written to directly. Throws Error{kLimit} when the disk
/// is full, Error{kInput} when it cannot be written.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
};

/// AtomicFile in one call.
void write_file(const std::filesystem::path& path, std::string_view text);

/// Creates a folder and its parents; throws Error{kInput} when it cannot be created or written.
void make_writable_folder(const std::filesystem::path& path);

}  // namespace paro
