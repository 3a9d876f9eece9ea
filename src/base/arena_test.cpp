#include "base/arena.h"

#include <gtest/gtest.h>

#include <cstring>

namespace paro {
namespace {

TEST(Arena, AlignedAndDisjoint) {
  Arena arena;
  std::byte* last_end = nullptr;
  for (size_t bytes : {1u, 63u, 64u, 65u, 1000u}) {
    auto* data = static_cast<std::byte*>(arena.allocate(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    EXPECT_GE(data, last_end);
    std::memset(data, 1, bytes);
    last_end = data + bytes;
  }
}

TEST(Arena, SameStepSameAddressesNothingNew) {
  Arena arena;
  std::vector<void*> first;
  size_t capacity = 0;
  for (int step = 0; step < 3; ++step) {
    const ArenaScope scope(arena);
    std::vector<void*> addresses;
    for (int layer = 0; layer < 4; ++layer) {
      const ArenaScope inner(arena);
      for (size_t bytes : {size_t{100}, size_t{3} << 20, size_t{700} << 10, size_t{5} << 20})
        addresses.push_back(arena.allocate(bytes));
    }
    if (step == 0) {
      first = addresses;
      capacity = arena.capacity();
    }
    EXPECT_EQ(addresses, first);
    EXPECT_EQ(arena.capacity(), capacity);
  }
}

TEST(Arena, ReleaseInReverseOrder) {
  Arena arena;
  void* a = arena.allocate(64);
  const Arena::Mark mark = arena.mark();
  void* b = arena.allocate(2 << 20);  // another block
  arena.release(mark);
  EXPECT_EQ(arena.allocate(2 << 20), b);
  arena.release({});
  EXPECT_EQ(arena.allocate(64), a);
}

}  // namespace
}  // namespace paro
