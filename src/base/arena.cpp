#include "base/arena.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"

namespace paro {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kMinBlock = size_t{1} << 20;

}  // namespace

Arena::~Arena() {
  for (const Block& block : blocks_) std::free(block.data);
}

void* Arena::allocate(size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].size) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const size_t size = std::max({bytes, kMinBlock, blocks_.empty() ? size_t{0} : blocks_.back().size * 2});
    auto* data = static_cast<std::byte*>(std::aligned_alloc(kAlignment, size));
    if (data == nullptr) fail_limit("cannot allocate {} bytes of scratch memory", size);
    blocks_.push_back({data, size});
    used_ = 0;
  }
  std::byte* result = blocks_[block_].data + used_;
  used_ += bytes;
  return result;
}

size_t Arena::capacity() const {
  size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  return total;
}

}  // namespace paro
