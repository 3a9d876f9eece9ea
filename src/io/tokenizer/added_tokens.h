// Added and special tokens: found in a text before (or after) it is normalized and never cut by BPE.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "io/tokenizer/bpe.h"
#include "io/tokenizer/normalizer.h"

namespace paro::tokenizer {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  std::string spelling;  // what a normalized token looks like in normalized text; the content otherwise
  bool single_word = false;
  bool lstrip = false;
  bool rstrip = false;
  bool normalized = false;
  bool special = false;
};

/// Finds a set of spellings in a text: leftmost first, the longest of those that begin at the same place.
class TokenFinder {
 public:
  void add(std::string_view spelling, int32_t value);
  bool empty() const { return nodes_.size() == 1; }
  struct Found {
    size_t start, end;
    int32_t value;
  };
  /// The first match that begins at or after `from`; false when there is none.
  bool find(std::string_view text, size_t from, Found* found) const;

 private:
  struct Node {
    int32_t value = -1;
    uint32_t child = 0;    // first child; 0 for none
    uint32_t sibling = 0;  // next child of the same parent
    unsigned char byte = 0;
  };
  uint32_t child(uint32_t node, unsigned char byte) const;
  std::vector<Node> nodes_ = std::vector<Node>(1);
  bool starts_[256] = {};
};

class AddedTokens {
 public:
  /// `tokenizer` is tokenizer.json, `config` tokenizer_config.json or null. Ids follow the peer: a token of the
  /// vocabulary keeps its id, others count on from its end in the order of the file. Throws Error{kInput}.
  AddedTokens(const Json& tokenizer, const Json& config, const Bpe& bpe, const Normalizer& normalizer,
              const std::string& place);

  const std::vector<AddedToken>& all() const { return tokens_; }
  /// The token with this id; nullptr when it is not an added one.
  const AddedToken* by_id(int32_t id) const;
  const AddedToken* by_content(const std::string& content) const;

  /// Calls text(part, start) for what stands between tokens and token(added) for every token, from left to right.
  /// `normalized` chooses the tokens that are looked for in normalized text.
  template <typename Text, typename Token>
  void cut(std::string_view text, bool normalized, Text&& on_text, Token&& on_token) const {
    const TokenFinder& finder = normalized ? in_normalized_ : in_text_;
    size_t done = 0;
    TokenFinder::Found found{};
    for (size_t from = 0; !finder.empty() && finder.find(text, from, &found); from = found.end) {
      const AddedToken& added = tokens_[static_cast<size_t>(found.value)];
      if (!widen(text, added, done, &found)) continue;
      if (done < found.start) on_text(text.substr(done, found.start - done), done);
      on_token(added);
      done = std::max(done, wide_end_of(text, added, found.end));
    }
    if (done < text.size()) on_text(text.substr(done), done);
  }

 private:
  void add(AddedToken token, int32_t id, const Normalizer& normalizer, const std::string& place);
  static bool widen(std::string_view text, const AddedToken& added, size_t done, TokenFinder::Found* found);
  static size_t wide_end_of(std::string_view text, const AddedToken& added, size_t end);

  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_map<std::string, size_t> by_content_;
  TokenFinder in_text_;
  TokenFinder in_normalized_;
};

}  // namespace paro::tokenizer
