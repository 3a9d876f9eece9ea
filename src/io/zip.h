// A zip archive (PKWARE's APPNOTE): its directory, checked. Private to io.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace paro {

struct ZipMember {
  std::string name;
  bool deflated = false;  // else stored
  int64_t size = 0;       // of the content
  uint32_t crc = 0;
  std::span<const std::byte> data;
};

/// The files of an archive (folders left out). Throws Error{kInput} naming `place` for a directory that is damaged,
/// data beyond the end of the file, encryption, methods other than deflate, and archives of 4 GiB and more.
std::vector<ZipMember> zip_members(std::span<const std::byte> archive, const std::string& place);

}  // namespace paro
