// Remembers the ids of short words that were seen lately. One cache line a word, no deletion, no locks: each thread has
// its own.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "io/tokenizer/flat_map.h"

namespace paro::tokenizer {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 24;
  static constexpr size_t kMaxIds = 8;
  static constexpr size_t kEntries = size_t{1} << 15;

  /// A word of 1 to kMaxBytes bytes in a form that is quick to compare.
  struct Key {
    uint64_t a, b, c;
    uint32_t size;
  };
  static Key key(std::string_view word) {
    const char* const p = word.data();
    const size_t n = word.size();
    Key key{0, 0, 0, static_cast<uint32_t>(n)};
    const auto load = [](const char* from) {
      uint64_t value;
      std::memcpy(&value, from, 8);
      return value;
    };
    if (n > 8) {
      key.a = load(p);
      key.b = load(n > 16 ? p + 8 : p + n - 8);
      if (n > 16) key.c = load(p + n - 8);
    } else if (n == 8) {
      key.a = load(p);
    } else if (n >= 4) {
      uint32_t low, high;
      std::memcpy(&low, p, 4);
      std::memcpy(&high, p + n - 4, 4);
      key.a = low | static_cast<uint64_t>(high) << 32;
    } else {
      for (size_t i = 0; i < n; ++i) key.a |= static_cast<uint64_t>(static_cast<unsigned char>(p[i])) << (8 * i);
    }
    return key;
  }

  struct alignas(64) Entry {
    uint64_t a, b, c;
    uint32_t owner;  // which tokenizer; 0 for none
    uint16_t size;
    uint16_t count;
    int32_t ids[kMaxIds];

    bool holds(uint32_t who, const Key& key) const {
      return a == key.a && b == key.b && c == key.c && owner == who && size == key.size;
    }
    void fill(uint32_t who, const Key& key, std::span<const int32_t> word_ids) {
      a = key.a, b = key.b, c = key.c;
      owner = who;
      size = static_cast<uint16_t>(key.size);
      count = static_cast<uint16_t>(word_ids.size());
      std::memcpy(ids, word_ids.data(), word_ids.size() * sizeof(int32_t));
    }
  };

  static WordCache& of_thread() {
    thread_local WordCache cache;
    return cache;
  }
  Entry& entry(uint32_t who, const Key& key) {
    const uint64_t hash = mix_hash(key.a ^ who, key.b + key.size) ^ key.c * 0x9E3779B97F4A7C15u;
    return entries_[(hash ^ hash >> 29) & (kEntries - 1)];
  }

 private:
  WordCache() : entries_(kEntries) {}
  std::vector<Entry> entries_;
};

}  // namespace paro::tokenizer
