// Text files as data sets come: plain, gzip, zstd, or one member of a zip archive. Told by their first bytes, not by
// their names.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace paro {

struct DecompressedFile {
  std::string bytes;
  std::string name;  // without folders and without .gz, .zst; of a zip archive the member's
};

/// The content of a regular file: gzip of one or several members (RFC 1952), zstd of one or several frames (RFC 8878),
/// or as it is. Of a zip archive the only file in it, or else the only one whose name has "train" in it.
/// Throws Error{kInput} naming the file: missing, truncated, corrupt (checksums are compared), a name that promises
/// what the bytes are not, or more than `max_bytes` of content.
DecompressedFile read_decompressed(const std::filesystem::path& path, int64_t max_bytes);

}  // namespace paro
