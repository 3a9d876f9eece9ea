#include "io/zip.h"

#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22;
constexpr size_t kDirectoryBytes = 46;
constexpr size_t kLocalBytes = 30;
constexpr size_t kMaxComment = 65535;
constexpr uint32_t kEncrypted = 1;
constexpr uint16_t kStored = 0;
constexpr uint16_t kDeflated = 8;

/// Numbers of an archive, read inside its bounds.
class Bytes {
 public:
  Bytes(std::span<const std::byte> bytes, const std::string& place) : bytes_(bytes), place_(place) {}

  size_t size() const { return bytes_.size(); }
  std::span<const std::byte> part(size_t offset, size_t count, const char* what) const {
    if (offset > bytes_.size() || count > bytes_.size() - offset)
      fail_input("{}: zip archive: {} reaches beyond the end of the file (truncated?)", place_, what);
    return bytes_.subspan(offset, count);
  }
  template <typename T>
  T number(size_t offset, const char* what) const {
    T value;
    std::memcpy(&value, part(offset, sizeof(T), what).data(), sizeof(T));
    return value;
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& place_;
};

/// The end record lies behind everything but a comment.
size_t find_end(const Bytes& bytes, const std::string& place) {
  if (bytes.size() >= kEndBytes) {
    const size_t last = bytes.size() - kEndBytes;
    for (size_t back = 0; back <= std::min(last, kMaxComment); ++back)
      if (bytes.number<uint32_t>(last - back, "end") == kEndSignature) return last - back;
  }
  fail_input("{}: zip archive: its directory is missing (truncated?)", place);
}

}  // namespace

std::vector<ZipMember> zip_members(std::span<const std::byte> archive, const std::string& place) {
  const Bytes bytes(archive, place);
  const size_t end = find_end(bytes, place);
  const auto count = bytes.number<uint16_t>(end + 10, "number of members");
  size_t at = bytes.number<uint32_t>(end + 16, "offset of the directory");
  if (count == 0xffff || at == 0xffffffff) fail_input("{}: zip archives of 4 GiB and more are not supported", place);
  std::vector<ZipMember> members;
  for (uint16_t i = 0; i < count; ++i) {
    if (bytes.number<uint32_t>(at, "directory") != kDirectorySignature)
      fail_input("{}: zip archive: entry {} of its directory is damaged", place, i);
    const auto flags = bytes.number<uint16_t>(at + 8, "directory");
    const auto method = bytes.number<uint16_t>(at + 10, "directory");
    const auto stored = bytes.number<uint32_t>(at + 20, "directory");
    const auto name_size = bytes.number<uint16_t>(at + 28, "directory");
    const auto local = bytes.number<uint32_t>(at + 42, "directory");
    const auto name = bytes.part(at + kDirectoryBytes, name_size, "a name");
    ZipMember member;
    member.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
    member.crc = bytes.number<uint32_t>(at + 16, "directory");
    member.size = bytes.number<uint32_t>(at + 24, "directory");
    member.deflated = method == kDeflated;
    at += kDirectoryBytes + name_size + bytes.number<uint16_t>(at + 30, "directory") +
          bytes.number<uint16_t>(at + 32, "directory");
    if (member.name.ends_with('/')) continue;
    if ((flags & kEncrypted) != 0) fail_input("{}: \"{}\" in it is encrypted", place, member.name);
    if (method != kStored && method != kDeflated)
      fail_input("{}: \"{}\" in it: expected compression method 0 or 8, found {}", place, member.name, method);
    if (bytes.number<uint32_t>(local, "a member") != kLocalSignature)
      fail_input("{}: zip archive: no member where its directory says \"{}\" is", place, member.name);
    const size_t data = size_t{local} + kLocalBytes + bytes.number<uint16_t>(local + size_t{26}, "a member") +
                        bytes.number<uint16_t>(local + size_t{28}, "a member");
    member.data = bytes.part(data, stored, "a member");
    members.push_back(std::move(member));
  }
  return members;
}

}  // namespace paro
