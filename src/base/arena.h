// Scratch memory of one step: a bump allocator whose marks are released in reverse order, so the same step gets the
// same addresses and the token loop allocates nothing once the arena has grown to its size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace paro {

class Arena {
 public:
  Arena() = default;
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  /// `bytes` of uninitialised memory, 64-byte aligned, valid until the enclosing mark is released.
  void* allocate(size_t bytes);
  template <typename T>
  T* array(int64_t count) {
    return static_cast<T*>(allocate(static_cast<size_t>(count) * sizeof(T)));
  }

  struct Mark {
    size_t block = 0;
    size_t used = 0;
  };
  Mark mark() const { return {block_, used_}; }
  void release(Mark mark) {
    block_ = mark.block;
    used_ = mark.used;
  }
  /// Bytes reserved from the system so far.
  size_t capacity() const;

 private:
  struct Block {
    std::byte* data;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0;
  size_t used_ = 0;
};

/// Releases what was allocated in its scope.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.release(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

}  // namespace paro
