// Products with four bytes that are broadcast, for any Vec and Bytes (included before this file). vec/add_four_neon.h
// has the same name.
#pragma once

#include <cstdint>

namespace paro {
namespace {

/// sum + nibbles times the four bytes at x + 4 i. At x there are the fours of kRows rows, and of as many again.
template <int kRows>
inline Bytes::Sum add_four(Bytes::Sum sum, Vec::I nibbles, const int8_t* x, int i) {
  int32_t word;
  __builtin_memcpy(&word, x + 4 * i, 4);
  return Bytes::add(sum, nibbles, Vec::iset1(word));
}

}  // namespace
}  // namespace paro
