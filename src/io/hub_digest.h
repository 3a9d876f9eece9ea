// Checksums of downloaded files as a hub states them.
#pragma once

#include <filesystem>
#include <string>

namespace paro {

/// SHA-256 of a file's bytes, in hexadecimal.
std::string sha256_of_file(const std::filesystem::path& path);
/// The name git gives to a file's content: SHA-1 of "blob SIZE\0" and the bytes.
std::string git_blob_name_of_file(const std::filesystem::path& path);

}  // namespace paro
