// Memory for packed weights and caches: 64-byte aligned, on huge pages where the system gives them; or a part of a
// mapped file. Not for scratch (Arena).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace paro {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  /// Zeroed; what is large takes memory page by page as it is touched. Throws Error{kLimit} naming `what` when there is
  /// no memory.
  explicit AlignedBuffer(int64_t bytes, const char* what = "a weight");
  /// Reads `bytes` at `data` (64-byte aligned), which `owner` keeps alive. Not to be written.
  AlignedBuffer(std::shared_ptr<const void> owner, const uint8_t* data, int64_t bytes);
  ~AlignedBuffer();
  AlignedBuffer(AlignedBuffer&& other) noexcept { *this = std::move(other); }
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(owner_, other.owner_);
    return *this;
  }

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  int64_t size_ = 0;
  std::shared_ptr<const void> owner_;  // of memory that is not ours
};

}  // namespace paro
