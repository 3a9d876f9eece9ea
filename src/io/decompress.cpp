#include "io/decompress.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <span>

#include "base/error.h"
#include "base/files.h"
#include "io/zip.h"

namespace paro {
namespace {

using Input = std::span<const std::byte>;

constexpr size_t kPiece = size_t{1} << 20;  // of output at a time
// zlib counts in 32 bits.
constexpr size_t kMaxZlibInput = size_t{1} << 30;
constexpr int kGzipWindow = 15 + 16;
constexpr int kRawWindow = -15;

bool begins_with(Input input, std::initializer_list<unsigned> bytes) {
  return input.size() >= bytes.size() && std::equal(bytes.begin(), bytes.end(), input.begin(),
                                                    [](unsigned a, auto b) { return a == static_cast<unsigned>(b); });
}
bool is_gzip(Input input) { return begins_with(input, {0x1f, 0x8b}); }
bool is_zstd(Input input) { return begins_with(input, {0x28, 0xb5, 0x2f, 0xfd}); }
bool is_zip(Input input) { return begins_with(input, {'P', 'K', 3, 4}) || begins_with(input, {'P', 'K', 5, 6}); }

/// Output that grows piece by piece and never beyond what is allowed.
class Output {
 public:
  Output(const std::string& place, int64_t max_bytes) : place_(place), max_bytes_(max_bytes) {}

  /// Room for the next piece: `use` fills it from its start and returns how much.
  template <typename Use>
  void append(Use&& use) {
    const size_t before = bytes_.size();
    bytes_.resize(before + kPiece);
    const size_t count = use(bytes_.data() + before, kPiece);
    bytes_.resize(before + count);
    if (static_cast<int64_t>(bytes_.size()) > max_bytes_)
      fail_input("{}: expected at most {} bytes of content, found more; use a part of it", place_, max_bytes_);
  }
  std::string take() { return std::move(bytes_); }
  const std::string& bytes() const { return bytes_; }

 private:
  const std::string& place_;
  int64_t max_bytes_;
  std::string bytes_;
};

/// One deflate stream with the header that `window` asks for; how many bytes of input it took.
size_t inflate_stream(Input input, int window, const std::string& place, Output& output) {
  z_stream stream = {};
  PARO_CHECK(inflateInit2(&stream, window) == Z_OK);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, inflateEnd);
  size_t fed = 0;
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    if (stream.avail_in == 0 && fed < input.size()) {
      const size_t count = std::min(input.size() - fed, kMaxZlibInput);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(input.data() + fed));
      stream.avail_in = static_cast<uInt>(count);
      fed += count;
    }
    output.append([&](char* to, size_t room) {
      stream.next_out = reinterpret_cast<Bytef*>(to);
      stream.avail_out = static_cast<uInt>(room);
      status = inflate(&stream, Z_NO_FLUSH);
      return room - stream.avail_out;
    });
    if (status == Z_MEM_ERROR) fail_limit("{}: no memory to decompress it", place);
    if (status == Z_BUF_ERROR && stream.avail_in == 0 && fed == input.size())
      fail_input("{}: the compressed data ends in the middle (truncated?)", place);
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      fail_input("{}: the compressed data is damaged{}{}", place, stream.msg == nullptr ? "" : ": ",
                 stream.msg == nullptr ? "" : stream.msg);
  }
  return fed - stream.avail_in;
}

std::string gunzip(Input input, const std::string& place, int64_t max_bytes) {
  Output output(place, max_bytes);
  do {
    input = input.subspan(inflate_stream(input, kGzipWindow, place, output));
    // Padding of zeros behind the last member is usual on tapes and block devices.
    if (std::all_of(input.begin(), input.end(), [](std::byte b) { return b == std::byte{0}; })) break;
    if (!is_gzip(input)) fail_input("{}: there are {} bytes behind the end of the gzip data", place, input.size());
  } while (true);
  return output.take();
}

std::string unzstd(Input input, const std::string& place, int64_t max_bytes) {
  const std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
  PARO_CHECK(stream != nullptr);
  Output output(place, max_bytes);
  ZSTD_inBuffer from{input.data(), input.size(), 0};
  size_t expected = 1;  // 0 at the end of a frame
  bool full = false;    // the last piece had no room left: there may be more without further input
  while (from.pos < from.size || full) {
    output.append([&](char* to, size_t room) {
      ZSTD_outBuffer piece{to, room, 0};
      expected = ZSTD_decompressStream(stream.get(), &piece, &from);
      if (ZSTD_isError(expected))
        fail_input("{}: the compressed data is damaged: {}", place, ZSTD_getErrorName(expected));
      full = expected != 0 && piece.pos == piece.size;
      return piece.pos;
    });
  }
  if (expected != 0) fail_input("{}: the compressed data ends in the middle (truncated?)", place);
  return output.take();
}

DecompressedFile unzip(Input input, const std::string& place, int64_t max_bytes) {
  const std::vector<ZipMember> members = zip_members(input, place);
  std::vector<const ZipMember*> wanted;
  for (const ZipMember& member : members) wanted.push_back(&member);
  if (wanted.size() > 1) std::erase_if(wanted, [](auto* m) { return m->name.find("train") == std::string::npos; });
  if (wanted.size() != 1)
    fail_input("{}: expected a zip archive of one file, or with one that has \"train\" in its name, found {} of {}",
               place, wanted.size(), members.size());
  const ZipMember& member = *wanted[0];
  const std::string where = place + ": " + member.name;
  if (member.size > max_bytes)
    fail_input("{}: expected at most {} bytes of content, found {}; use a part of it", where, max_bytes, member.size);
  DecompressedFile result;
  result.name = std::filesystem::path(member.name).filename().string();
  if (member.deflated) {
    Output output(where, max_bytes);
    inflate_stream(member.data, kRawWindow, where, output);
    result.bytes = output.take();
  } else {
    result.bytes.assign(reinterpret_cast<const char*>(member.data.data()), member.data.size());
  }
  if (static_cast<int64_t>(result.bytes.size()) != member.size)
    fail_input("{}: expected {} bytes of content, found {}", where, member.size, result.bytes.size());
  const auto crc = crc32_z(0, reinterpret_cast<const Bytef*>(result.bytes.data()), result.bytes.size());
  if (crc != member.crc) fail_input("{}: expected checksum {:08x}, found {:08x}", where, member.crc, crc);
  return result;
}

}  // namespace

DecompressedFile read_decompressed(const std::filesystem::path& path, int64_t max_bytes) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const Input input = file->bytes();
  const std::string place = path.string();
  std::filesystem::path name = path.filename();
  const std::string ending = name.extension().string();
  const bool compressed = ending == ".gz" || ending == ".zst";
  if (compressed) name = name.stem();
  if (is_zip(input)) return unzip(input, place, max_bytes);
  if (is_gzip(input)) return {gunzip(input, place, max_bytes), name.string()};
  if (is_zstd(input)) return {unzstd(input, place, max_bytes), name.string()};
  if (compressed || ending == ".zip")
    fail_input("{}: expected {} data by its name, found something else", place,
               ending == ".gz"    ? "gzip"
               : ending == ".zst" ? "zstd"
                                  : "zip");
  return {read_file(path, max_bytes), name.string()};
}

}  // namespace paro
