#include "kernels/vec/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kPage = 65536;  // no less than any system's
constexpr int64_t kHugePage = int64_t{2} << 20;

// A large buffer is a mapping of its own: zero without being written, so that the threads that fill it are the first to
// touch it; and returned to the system when it goes.
int64_t mapped_bytes(int64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

uint8_t* map_huge(int64_t bytes, const char* what) {
  // Room to begin at a huge page; what lies before and behind is given back.
  const int64_t size = mapped_bytes(bytes);
  void* memory = ::mmap(nullptr, static_cast<size_t>(size + kHugePage), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail_limit("cannot allocate {} bytes for {}", bytes, what);
  auto* begin = static_cast<uint8_t*>(memory);
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(begin) % static_cast<uintptr_t>(kHugePage));
  const int64_t before = past == 0 ? 0 : kHugePage - past;
  if (before > 0) ::munmap(begin, static_cast<size_t>(before));
  ::munmap(begin + before + size, static_cast<size_t>(kHugePage - before));
#if defined(MADV_HUGEPAGE)
  ::madvise(begin + before, static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  return begin + before;
}

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t bytes, const char* what) : size_(bytes) {
  if (bytes == 0) return;
  if (bytes >= kHugePage) {
    data_ = map_huge(bytes, what);
    return;
  }
  const auto rounded = static_cast<size_t>((bytes + kLine - 1) / kLine * kLine);
  data_ = static_cast<uint8_t*>(std::aligned_alloc(static_cast<size_t>(kLine), rounded));
  if (data_ == nullptr) fail_limit("cannot allocate {} bytes for {}", bytes, what);
  std::memset(data_, 0, rounded);
}

AlignedBuffer::AlignedBuffer(std::shared_ptr<const void> owner, const uint8_t* data, int64_t bytes)
    : data_(const_cast<uint8_t*>(data)), size_(bytes), owner_(std::move(owner)) {
  PARO_CHECK(owner_ != nullptr && reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(kLine) == 0);
}

AlignedBuffer::~AlignedBuffer() {
  if (owner_ != nullptr || data_ == nullptr) return;
  if (size_ >= kHugePage)
    ::munmap(data_, static_cast<size_t>(mapped_bytes(size_)));
  else
    std::free(data_);
}

}  // namespace paro
