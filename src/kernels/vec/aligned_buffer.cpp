#include "kernels/vec/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace paro {
namespace {

constexpr int64_t kLine = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  const bool huge = bytes >= kHugePage;
  const int64_t alignment = huge ? kHugePage : kLine;
  const int64_t rounded = (bytes + kLine - 1) / kLine * kLine;
  void* memory = nullptr;
  if (::posix_memalign(&memory, static_cast<size_t>(alignment), static_cast<size_t>(rounded)) != 0)
    fail_limit("cannot allocate {} bytes for a weight", bytes);
#if defined(MADV_HUGEPAGE)
  if (huge) ::madvise(memory, static_cast<size_t>(rounded), MADV_HUGEPAGE);
#endif
  std::memset(memory, 0, static_cast<size_t>(rounded));
  data_ = static_cast<uint8_t*>(memory);
}

AlignedBuffer::~AlignedBuffer() { std::free(data_); }

}  // namespace paro
