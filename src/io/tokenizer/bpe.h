// The BPE model of tokenizer.json: a vocabulary, ranked merges, and the encoding of one word.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "io/tokenizer/flat_map.h"

namespace paro::tokenizer {

class Bpe {
 public:
  /// `json` is the "model" of tokenizer.json. With `bytes`, words are bytes as they are and the vocabulary spells them
  /// in the byte alphabet; otherwise words are UTF-8 in the vocabulary's own spelling. Throws Error{kInput}.
  Bpe(const Json& json, bool bytes, const std::string& place);
  Bpe(const Bpe&) = delete;
  Bpe& operator=(const Bpe&) = delete;

  /// Appends the ids of one word. Takes O(n log n) for n bytes.
  void encode(std::string_view word, std::vector<int32_t>& ids) const;

  /// Largest id + 1; the spelling of each, empty where there is none.
  const std::vector<std::string>& tokens() const { return tokens_; }
  /// Number of tokens.
  int64_t size() const { return count_; }
  /// The id of a token as the vocabulary spells it; -1 when it is not there.
  int32_t find(std::string_view token) const { return by_token_.find(tokens_, token); }
  bool has_id(int64_t id) const {
    return id >= 0 && id < static_cast<int64_t>(there_.size()) && there_[static_cast<size_t>(id)];
  }

 private:
  static constexpr int32_t kNoSymbol = -2;  // a character that is not in the vocabulary

  void read_vocabulary(const Json& json, const std::string& place);
  void read_merges(const Json& json, const std::string& place);
  void index_characters();
  int32_t symbol_of(char32_t c) const;
  bool may_cross(char32_t left, char32_t right) const;

  void encode_cached(std::string_view word, std::vector<int32_t>& ids) const;
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;
  bool is_reachable(int32_t id) const;
  void merge_word(std::string_view word, std::vector<int32_t>& ids) const;
  void add_symbols(std::string_view word, std::vector<int32_t>& symbols) const;
  void merge_short(int32_t* symbols, size_t count, std::vector<int32_t>& ids) const;
  void merge_long(std::span<const int32_t> symbols, std::vector<int32_t>& ids) const;

  bool bytes_;
  uint32_t serial_;  // for the caches of the threads
  int64_t count_ = 0;
  std::vector<std::string> tokens_;
  std::vector<bool> there_;
  SpellingMap by_token_;
  std::vector<std::string> raw_;  // with bytes_: what the tokens stand for; empty where a token is no bytes
  SpellingMap by_raw_;
  enum : uint8_t { kNotKnown, kReachable, kUnreachable };
  std::unique_ptr<std::atomic<uint8_t>[]> reachable_;  // of each id; filled as words ask
  MergeMap merges_;
  std::vector<int32_t> result_of_rank_;

  int32_t unknown_ = -1;
  bool fuse_unknown_ = false;
  bool ignore_merges_ = false;
  bool byte_fallback_ = false;
  std::vector<int32_t> byte_symbols_;  // with bytes_: of each byte; with fallback: <0x00> ...; -2 for none
  bool any_bytes_missing_ = false;

  // Without bytes_: symbols of characters, and which two characters a merge may ever join. A text is cut where none
  // can, so that even a text without a pre-tokenizer is encoded in short, cacheable pieces.
  std::vector<int32_t> low_symbols_;  // of U+0000 to U+FFFF
  std::unordered_map<char32_t, int32_t> high_symbols_;
  bool can_cut_ = false;
  std::vector<uint64_t> low_pairs_;  // bits [left * 128 + right], both ASCII
  std::vector<uint64_t> pairs_;      // hash set of left << 32 | right; 0 for an empty slot
};

}  // namespace paro::tokenizer
