#include "io/prepared_cache.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/log.h"

namespace paro {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[8] = {'P', 'A', 'R', 'O', 'P', 'R', 'E', 'P'};
constexpr uint32_t kVersion = 1;
constexpr size_t kLine = 64;
constexpr size_t kHeadSample = 64 << 10;
constexpr size_t kSamples = 64;
constexpr size_t kSampleBytes = 4096;
constexpr size_t kKeyDigits = 32;
constexpr size_t kWritten = 16 << 20;  // bytes of one write: other disk users get their turn

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t layout;
  uint64_t file_bytes;
  uint64_t table_offset;
  uint64_t table_bytes;
  unsigned char table_digest[16];
  unsigned char reserved[8];
  char key[kKeyDigits];
};
static_assert(sizeof(Header) == 96);

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    PARO_CHECK(context_ != nullptr && EVP_DigestInit_ex(context_, EVP_sha256(), nullptr) == 1);
  }
  ~Sha256() { EVP_MD_CTX_free(context_); }
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(const void* data, size_t size) { PARO_CHECK(EVP_DigestUpdate(context_, data, size) == 1); }
  template <typename T>
  void add_value(const T& value) {
    add(&value, sizeof value);
  }
  std::array<unsigned char, 32> digest() {
    std::array<unsigned char, 32> digest{};
    PARO_CHECK(EVP_DigestFinal_ex(context_, digest.data(), nullptr) == 1);
    return digest;
  }

 private:
  EVP_MD_CTX* context_;
};

void digest_of_table(std::string_view table, unsigned char* digest) {
  Sha256 hash;
  hash.add(table.data(), table.size());
  std::copy_n(hash.digest().begin(), 16, digest);
}

size_t aligned(size_t offset) { return (offset + kLine - 1) / kLine * kLine; }

fs::path from_variable(const char* name, const char* below) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? fs::path() : fs::path(value) / below;
}

struct OldFile {
  fs::file_time_type time;
  int64_t bytes;
  fs::path path;
};

/// The cache's files, those used longest ago first; temporary files that a killed process left go.
std::vector<OldFile> files_in(const fs::path& folder) {
  std::vector<OldFile> files;
  std::error_code code;
  for (fs::directory_iterator it(folder, code), end; !code && it != end; it.increment(code)) {
    std::error_code ignored;
    OldFile file = {it->last_write_time(ignored), static_cast<int64_t>(it->file_size(ignored)), it->path()};
    const bool forgotten = file.time < fs::file_time_type::clock::now() - std::chrono::hours(24);
    if (file.path.extension() == ".bin")
      files.push_back(std::move(file));
    else if (file.path.filename().string().find(".bin.partial-") != std::string::npos && forgotten)
      fs::remove(file.path, ignored);
  }
  std::sort(files.begin(), files.end(), [](const OldFile& a, const OldFile& b) { return a.time < b.time; });
  return files;
}

}  // namespace

PreparedOptions PreparedOptions::from_environment() {
  PreparedOptions options;
  const char* wanted = std::getenv("PARO_PREPARED_CACHE");
  if (wanted != nullptr && (std::string_view(wanted) == "0" || std::string_view(wanted) == "off")) return options;
  options.folder = from_variable("PARO_CACHE", "prepared");
  if (options.folder.empty()) options.folder = from_variable("XDG_CACHE_HOME", "paro/prepared");
  if (options.folder.empty()) options.folder = from_variable("HOME", ".cache/paro/prepared");
  return options;
}

std::string prepared_key(const std::vector<fs::path>& files, uint32_t layout) {
  if (files.empty()) return "";
  try {
    Sha256 hash;
    hash.add_value(layout);
    for (const fs::path& path : files) {
      struct stat status = {};
      if (::stat(path.c_str(), &status) != 0) return "";
      const std::string name = path.filename().string();
      hash.add(name.c_str(), name.size() + 1);
      hash.add_value(status.st_size);
      hash.add_value(status.st_ino);
      hash.add_value(status.st_mtim.tv_sec);
      hash.add_value(status.st_mtim.tv_nsec);
      const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
      const std::span<const std::byte> bytes = file->bytes();
      hash.add(bytes.data(), std::min(bytes.size(), kHeadSample));
      for (size_t i = 0; i < kSamples; ++i) {
        const size_t begin = bytes.size() / kSamples * i;
        hash.add(bytes.data() + begin, std::min(kSampleBytes, bytes.size() - begin));
      }
    }
    std::string text;
    for (const unsigned char byte : hash.digest()) text += fmt::format("{:02x}", byte);
    return text.substr(0, kKeyDigits);
  } catch (const Error&) {
    return "";
  }
}

PreparedCache::PreparedCache(PreparedOptions options, std::string key, uint32_t layout)
    : options_(std::move(options)), key_(std::move(key)), layout_(layout) {
  if (key_.size() != kKeyDigits || options_.folder.empty()) return;
  path_ = options_.folder / (key_ + ".bin");
  std::error_code code;
  if (!fs::exists(path_, code)) return;
  bool usable = false;
  try {
    usable = map();
  } catch (const Error& error) {
    log_debug("{}: {}", path_.string(), error.what());
  }
  if (!usable) {
    log_debug("{}: damaged or of another version; it is made again", path_.string());
    found_.clear();
    file_.reset();
    return;
  }
  // When it was used last: what make_room() goes by.
  fs::last_write_time(path_, fs::file_time_type::clock::now(), code);
}

PreparedCache::~PreparedCache() {
  if (writer_.joinable()) writer_.join();
}

bool PreparedCache::map() {
  file_ = MappedFile::open(path_);
  const std::span<const std::byte> bytes = file_->bytes();
  Header header;
  if (bytes.size() < sizeof header) return false;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kVersion || header.layout != layout_ ||
      header.file_bytes != bytes.size() || std::memcmp(header.key, key_.data(), kKeyDigits) != 0)
    return false;
  if (header.table_offset > bytes.size() || header.table_bytes > bytes.size() - header.table_offset) return false;
  const std::string_view table(reinterpret_cast<const char*>(bytes.data()) + header.table_offset,
                               static_cast<size_t>(header.table_bytes));
  unsigned char digest[16];
  digest_of_table(table, digest);
  if (std::memcmp(digest, header.table_digest, sizeof digest) != 0) return false;
  const Json entries = parse_json(table, path_.string());
  if (!entries.is_object()) return false;
  for (const auto& [name, place] : entries.items()) {
    if (!place.is_array() || place.size() != 2 || !place[0].is_number_unsigned() || !place[1].is_number_unsigned())
      return false;
    const auto offset = place[0].get<uint64_t>();
    const auto size = place[1].get<uint64_t>();
    if (offset % kLine != 0 || offset > header.table_offset || size > header.table_offset - offset) return false;
    found_[name] = bytes.subspan(offset, size);
  }
  return true;
}

std::span<const std::byte> PreparedCache::find(const std::string& name, int64_t bytes) const {
  const auto it = found_.find(name);
  if (it == found_.end() || static_cast<int64_t>(it->second.size()) != bytes) return {};
  file_->will_read(it->second);
  return it->second;
}

void PreparedCache::add(const std::string& name, std::span<const std::byte> bytes) {
  if (enabled()) added_[name] = bytes;
}

void PreparedCache::save() {
  if (!enabled() || added_.empty() || writer_.joinable()) return;
  std::map<std::string, std::span<const std::byte>> sections = std::move(added_);
  added_.clear();
  sections.insert(found_.begin(), found_.end());
  int64_t bytes = 0;
  for (const auto& [name, section] : sections) bytes += static_cast<int64_t>(section.size());
  if (bytes < options_.min_bytes || bytes > options_.max_total_bytes) return;
  try {
    make_writable_folder(options_.folder);
    make_room(bytes);
    std::error_code code;
    const fs::space_info space = fs::space(options_.folder, code);
    if (code || space.available < static_cast<uintmax_t>(bytes + bytes / 10)) return;
    log_info("keeping the prepared weights for the next start: {} ({:.1f} GB; --no-prepared-cache to do without)",
             path_.string(), static_cast<double>(bytes) / 1e9);
  } catch (const Error& error) {
    log_debug("no prepared cache: {}", error.what());
    return;
  }
  writer_ = std::thread([this, sections = std::move(sections)] {
    // Of this thread alone on Linux: the first answer goes before.
    if (::nice(19) == -1) log_debug("the prepared cache is written at ordinary priority");
    try {
      write(sections);
    } catch (const std::exception& error) {
      log_debug("no prepared cache: {}", error.what());
    }
  });
}

void PreparedCache::write(const std::map<std::string, std::span<const std::byte>>& sections) const {
  Json table = Json::object();
  size_t offset = aligned(sizeof(Header));
  for (const auto& [name, section] : sections) {
    table[name] = {offset, section.size()};
    offset = aligned(offset + section.size());
  }
  const std::string text = table.dump();
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.layout = layout_;
  header.file_bytes = offset + text.size();
  header.table_offset = offset;
  header.table_bytes = text.size();
  digest_of_table(text, header.table_digest);
  std::memcpy(header.key, key_.data(), kKeyDigits);

  AtomicFile file(path_);
  size_t at = 0;
  const auto put = [&](const void* data, size_t size) {
    for (size_t done = 0; done < size; done += kWritten)
      file.write(static_cast<const char*>(data) + done, std::min(kWritten, size - done));
    constexpr char kZeros[kLine] = {};
    at += size;
    file.write(kZeros, aligned(at) - at);
    at = aligned(at);
  };
  put(&header, sizeof header);
  for (const auto& [name, section] : sections) put(section.data(), section.size());
  file.write(text);
  file.commit();
}

void PreparedCache::make_room(int64_t bytes) const {
  std::vector<OldFile> files = files_in(options_.folder);
  std::erase_if(files, [&](const OldFile& file) { return file.path == path_; });  // is replaced
  int64_t total = bytes;
  for (const OldFile& file : files) total += file.bytes;
  auto count = static_cast<int64_t>(files.size()) + 1;
  for (const OldFile& file : files) {
    if (total <= options_.max_total_bytes && count <= options_.max_files) return;
    std::error_code ignored;
    // A process that has it mapped keeps it until it ends.
    fs::remove(file.path, ignored);
    total -= file.bytes;
    --count;
  }
}

}  // namespace paro
