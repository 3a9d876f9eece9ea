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

/// The smallest power of two that is at least twice `count`.
inline size_t table_size(size_t count) {
  size_t size = 16;
  while (size < 2 * count) size *= 2;
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

/// Rank and result of the merge of two ids.
class MergeMap {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  void reserve(size_t count) { slots_.assign(table_size(count), Slot{}); }
  /// A pair that is there already gets the new rank and result.
  void set(int32_t left, int32_t right, Merge merge) {
    Slot& slot = slots_[find_slot(left, right)];
    slot = {left, right, merge};
  }
  /// rank kNone when the two do not merge.
  Merge find(int32_t left, int32_t right) const { return slots_[find_slot(left, right)].merge; }

 private:
  struct Slot {
    int32_t left = -1;
    int32_t right = -1;
    Merge merge = {kNone, -1};
  };
  size_t find_slot(int32_t left, int32_t right) const {
    const size_t mask = slots_.size() - 1;
    size_t at = mix_hash(static_cast<uint32_t>(left), static_cast<uint32_t>(right)) & mask;
    while (slots_[at].left != -1 && (slots_[at].left != left || slots_[at].right != right)) at = (at + 1) & mask;
    return at;
  }
  std::vector<Slot> slots_;
};

}  // namespace paro::tokenizer
