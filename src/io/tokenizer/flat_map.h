// Flat hash tables that are filled once and then only read: tokens by their spelling, merges by their pair.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace paro::tokenizer {

inline uint64_t mix_hash(uint64_t a, uint64_t b) {
  const auto product = static_cast<unsigned __int128>(a ^ 0x9E3779B97F4A7C15u) * (b ^ 0xD1B54A32D192ED03u);
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

inline uint64_t hash_bytes(std::string_view text) {
  uint64_t hash = text.size();
  const char* p = text.data();
  size_t left = text.size();
  for (; left >= 8; left -= 8, p += 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    hash = mix_hash(hash, word);
  }
  uint64_t word = 0;
  if (left > 0) std::memcpy(&word, p, left);
  return mix_hash(hash, word);
}

/// The smallest power of two that `count` fills to at most two thirds.
inline size_t table_size(size_t count) {
  size_t size = 16;
  while (2 * size < 3 * count) size *= 2;
  return size;
}

/// Ids by spelling. The spellings stay in the caller's vector, which id indexes and which must outlive the map.
class SpellingMap {
 public:
  void reserve(size_t count) { slots_.assign(table_size(count), Slot{0, -1}); }
  /// Adds an id below the capacity reserved; returns the id that already has the spelling, or -1.
  int32_t insert(const std::vector<std::string>& spellings, int32_t id) {
    const uint64_t hash = hash_bytes(spellings[static_cast<size_t>(id)]);
    Slot& slot = slots_[find_slot(spellings, spellings[static_cast<size_t>(id)], hash)];
    if (slot.id >= 0) return slot.id;
    slot = {static_cast<uint32_t>(hash >> 32), id};
    return -1;
  }
  int32_t find(const std::vector<std::string>& spellings, std::string_view text) const {
    return slots_.empty() ? -1 : slots_[find_slot(spellings, text, hash_bytes(text))].id;
  }

 private:
  struct Slot {
    uint32_t tag;
    int32_t id;
  };
  size_t find_slot(const std::vector<std::string>& spellings, std::string_view text, uint64_t hash) const {
    const auto tag = static_cast<uint32_t>(hash >> 32);
    size_t at = hash & (slots_.size() - 1);
    while (slots_[at].id >= 0 && (slots_[at].tag != tag || spellings[static_cast<size_t>(slots_[at].id)] != text))
      at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::vector<Slot> slots_;
};

/// Ranks of merges by the pair of ids. Eight bytes a slot, so that most of the table stays in the processor's caches.
class MergeMap {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr int64_t kMaxIds = (int64_t{1} << 21) - 1;
  static constexpr int64_t kMaxRanks = int64_t{1} << 22;

  void reserve(size_t count) { slots_.assign(table_size(count), kEmpty); }
  /// A pair that is there already gets the new rank. Requires ids below kMaxIds and a rank below kMaxRanks.
  void set(int32_t left, int32_t right, uint32_t rank) {
    const uint64_t key = pair_key(left, right);
    slots_[find_slot(key)] = key << kRankBits | rank;
  }
  /// kNone when the two do not merge.
  uint32_t find(int32_t left, int32_t right) const {
    const uint64_t slot = slots_[find_slot(pair_key(left, right))];
    return slot == kEmpty ? kNone : static_cast<uint32_t>(slot & (kMaxRanks - 1));
  }

 private:
  static constexpr uint64_t kEmpty = UINT64_MAX;
  static constexpr int kRankBits = 22;
  static uint64_t pair_key(int32_t left, int32_t right) {
    return static_cast<uint64_t>(left) << 21 | static_cast<uint64_t>(right);
  }
  size_t find_slot(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    const uint64_t hash = key * 0x9E3779B97F4A7C15u;
    size_t at = (hash >> 32) & mask;
    while (slots_[at] != kEmpty && slots_[at] >> kRankBits != key) at = (at + 1) & mask;
    return at;
  }
  std::vector<uint64_t> slots_;
};

}  // namespace paro::tokenizer
