#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

struct OpenFile {
  int fd;
  size_t size;
};

OpenFile open_regular(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO for reading would otherwise wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) fail_input("{}: cannot open: {}", path.string(), std::strerror(errno));
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    fail_input("{}: expected a regular file, found {}", path.string(),
               S_ISDIR(info.st_mode) ? "a folder" : "something else");
  }
  return {fd, static_cast<size_t>(info.st_size)};
}

[[noreturn]] void fail_write(const std::filesystem::path& path, int code) {
  if (code == ENOSPC || code == EDQUOT || code == EFBIG)
    fail_limit("{}: cannot write: {}", path.string(), std::strerror(code));
  fail_input("{}: cannot write: {}", path.string(), std::strerror(code));
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const OpenFile file = open_regular(path);
  void* data = nullptr;
  if (file.size > 0) {
    data = ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (data == MAP_FAILED) {
      const int code = errno;
      ::close(file.fd);
      fail_limit("{}: cannot map {} bytes: {}", path.string(), file.size, std::strerror(code));
    }
  }
  ::close(file.fd);
  std::shared_ptr<MappedFile> mapped(new MappedFile);
  mapped->path_ = path;
  mapped->data_ = static_cast<const std::byte*>(data);
  mapped->size_ = file.size;
  return mapped;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::will_read(std::span<const std::byte> part) const { advise(part, MADV_WILLNEED); }
void MappedFile::was_read(std::span<const std::byte> part) const { advise(part, MADV_DONTNEED); }

void MappedFile::advise(std::span<const std::byte> part, int advice) const {
  PARO_CHECK(part.data() >= data_ && part.data() + part.size() <= data_ + size_);
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = (static_cast<size_t>(part.data() - data_) + page - 1) / page * page;
  const auto end = static_cast<size_t>(part.data() + part.size() - data_) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, advice);
}

std::string read_file(const std::filesystem::path& path, int64_t max_bytes) {
  const OpenFile file = open_regular(path);
  if (static_cast<int64_t>(file.size) > max_bytes) {
    ::close(file.fd);
    fail_input("{}: expected at most {} bytes, found {}", path.string(), max_bytes, file.size);
  }
  std::string text(file.size, '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t n = ::read(file.fd, text.data() + done, text.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  ::close(file.fd);
  if (done != text.size()) fail_input("{}: cannot read: expected {} bytes, found {}", path.string(), text.size(), done);
  return text;
}

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)) {
  struct stat status = {};
  // A device or pipe (/dev/stdout) is written to, not replaced.
  if (::stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
    fd_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    temporary_ = path_;
    temporary_ += fmt::format(".partial-{}", ::getpid());
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  if (fd_ < 0) fail_write(path_, errno);
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(const void* data, size_t size) {
  PARO_CHECK(fd_ >= 0);
  const char* from = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = ::write(fd_, from, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      fail_write(path_, errno);
    }
    from += n;
    size -= static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  PARO_CHECK(fd_ >= 0);
  // A full disk may only be reported here.
  if (::fsync(fd_) != 0 && !temporary_.empty()) fail_write(path_, errno);
  ::close(fd_);
  fd_ = -1;
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int code = errno;
    ::unlink(temporary_.c_str());
    fail_write(path_, code);
  }
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void make_writable_folder(const std::filesystem::path& path) {
  std::error_code code;
  std::filesystem::create_directories(path, code);
  if (code) fail_input("{}: cannot create the folder: {}", path.string(), code.message());
  if (!std::filesystem::is_directory(path, code)) fail_input("{}: expected a folder", path.string());
  if (::access(path.c_str(), W_OK) != 0) fail_input("{}: the folder cannot be written", path.string());
}

}  // namespace paro
