#include "io/tokenizer/added_tokens.h"

#include <algorithm>
#include <charconv>
#include <unordered_set>

#include "base/error.h"
#include "io/tokenizer/unicode_classes.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

// Bounds the work for each place of a text where a token may begin.
constexpr size_t kMaxContent = 1024;

AddedToken read_token(const Json& json, const std::string& place) {
  AddedToken token;
  token.content = json_string(json, "content", place);
  if (token.content.size() > kMaxContent)
    fail_input("{}: an added token of {} bytes, expected at most {}", place, token.content.size(), kMaxContent);
  const std::string inside = place + ": \"" + token.content + "\"";
  token.single_word = json_bool(json, "single_word", false, inside);
  token.lstrip = json_bool(json, "lstrip", false, inside);
  token.rstrip = json_bool(json, "rstrip", false, inside);
  token.special = json_bool(json, "special", false, inside);
  token.normalized = json_bool(json, "normalized", !token.special, inside);
  return token;
}

int32_t checked_id(int64_t id, int64_t limit, const std::string& content, const std::string& place) {
  if (id < 0 || id >= limit)
    fail_input("{}: the id of \"{}\" is {}, expected one from 0 to {}", place, content, id, limit - 1);
  return static_cast<int32_t>(id);
}

}  // namespace

void TokenFinder::add(std::string_view spelling, int32_t value) {
  if (spelling.empty()) return;
  starts_[static_cast<unsigned char>(spelling.front())] = true;
  uint32_t node = 0;
  for (char c : spelling) {
    const auto byte = static_cast<unsigned char>(c);
    uint32_t next = child(node, byte);
    if (next == 0) {
      next = static_cast<uint32_t>(nodes_.size());
      nodes_.push_back({-1, 0, nodes_[node].child, byte});
      nodes_[node].child = next;
    }
    node = next;
  }
  nodes_[node].value = value;
}

uint32_t TokenFinder::child(uint32_t node, unsigned char byte) const {
  uint32_t at = nodes_[node].child;
  while (at != 0 && nodes_[at].byte != byte) at = nodes_[at].sibling;
  return at;
}

bool TokenFinder::find(std::string_view text, size_t from, Found* found) const {
  for (size_t start = from; start < text.size(); ++start) {
    if (!starts_[static_cast<unsigned char>(text[start])]) continue;
    uint32_t node = 0;
    found->value = -1;
    for (size_t at = start; at < text.size(); ++at) {
      node = child(node, static_cast<unsigned char>(text[at]));
      if (node == 0) break;
      if (nodes_[node].value >= 0) *found = {start, at + 1, nodes_[node].value};
    }
    if (found->value >= 0) return true;
  }
  return false;
}

AddedTokens::AddedTokens(const Json& tokenizer, const Json& config, const Bpe& bpe, const Normalizer& normalizer,
                         const std::string& place) {
  const std::string inside = place + ": added_tokens";
  const auto listed = tokenizer.find("added_tokens");
  int64_t next_id = bpe.size();
  if (listed != tokenizer.end() && !listed->is_null()) {
    if (!listed->is_array()) fail_input("{}: expected an array, found {}", inside, json_kind(*listed));
    std::unordered_set<int64_t> declared;
    const int64_t limit = 2 * (bpe.size() + static_cast<int64_t>(listed->size())) + 65536;
    for (const Json& json : *listed) {
      AddedToken token = read_token(json, inside);
      const int32_t id = checked_id(json_int(json, "id", inside), limit, token.content, inside);
      if (!declared.insert(id).second)
        fail_input("{}: the id {} of \"{}\" stands there twice", inside, id, token.content);
      if (token.content.empty() || by_content_.contains(token.content)) continue;
      const int32_t known = bpe.find(token.content);
      add(std::move(token), known >= 0 ? known : static_cast<int32_t>(next_id++), normalizer, inside);
    }
  }
  // Tokens that only the configuration names.
  if (!config.is_object()) return;
  const auto decoder = config.find("added_tokens_decoder");
  if (decoder == config.end() || decoder->is_null()) return;
  const std::string where = place + ": added_tokens_decoder of tokenizer_config.json";
  if (!decoder->is_object()) fail_input("{}: expected an object, found {}", where, json_kind(*decoder));
  std::vector<std::pair<int64_t, AddedToken>> more;
  for (const auto& [key, json] : decoder->items()) {
    int64_t id = -1;
    const auto parsed = std::from_chars(key.data(), key.data() + key.size(), id);
    if (parsed.ec != std::errc() || parsed.ptr != key.data() + key.size())
      fail_input("{}: expected ids as keys, found \"{}\"", where, key);
    AddedToken token = read_token(json, where);
    if (!token.content.empty() && !by_content_.contains(token.content)) more.emplace_back(id, std::move(token));
  }
  std::stable_sort(more.begin(), more.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  const int64_t limit = 2 * (next_id + static_cast<int64_t>(more.size())) + 65536;
  for (auto& [declared, token] : more) {
    const int32_t known = bpe.find(token.content);
    const int32_t id = known >= 0 ? known : checked_id(declared, limit, token.content, where);
    if (by_content_.contains(token.content)) continue;
    if (known < 0 && (bpe.has_id(id) || by_id_.contains(id)))
      fail_input("{}: the id {} of \"{}\" belongs to another token", where, id, token.content);
    add(std::move(token), id, normalizer, where);
  }
}

void AddedTokens::add(AddedToken token, int32_t id, const Normalizer& normalizer, const std::string& place) {
  token.id = id;
  token.spelling = token.normalized && is_valid_utf8(token.content) ? normalizer.apply(token.content) : token.content;
  if (token.spelling.size() > 16 * kMaxContent)
    fail_input("{}: the normalized form of \"{}\" is too long", place, token.content);
  const auto index = static_cast<int32_t>(tokens_.size());
  (token.normalized ? in_normalized_ : in_text_).add(token.spelling, index);
  by_id_[id] = tokens_.size();
  by_content_[token.content] = tokens_.size();
  tokens_.push_back(std::move(token));
}

const AddedToken* AddedTokens::by_id(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_content(const std::string& content) const {
  const auto found = by_content_.find(content);
  return found == by_content_.end() ? nullptr : &tokens_[found->second];
}

// Applies single_word (false: not a token here) and lstrip, which takes the white space in front, back to `done`.
bool AddedTokens::widen(std::string_view text, const AddedToken& added, size_t done, TokenFinder::Found* found) {
  const char* const begin = text.data();
  if (added.single_word) {
    if (found->start > 0) {
      const char* p = previous_char(begin + found->start);
      if (is_word_char(next_char(p))) return false;
    }
    if (found->end < text.size()) {
      const char* p = begin + found->end;
      if (is_word_char(next_char(p))) return false;
    }
  }
  if (added.lstrip) {
    size_t start = found->start;
    while (start > done) {
      const char* const p = previous_char(begin + start);
      const char* q = p;
      if (!is_space(next_char(q))) break;
      start = static_cast<size_t>(p - begin);
    }
    found->start = std::max(start, done);
  }
  return true;
}

size_t AddedTokens::wide_end_of(std::string_view text, const AddedToken& added, size_t end) {
  if (!added.rstrip) return end;
  const char* p = text.data() + end;
  const char* const stop = text.data() + text.size();
  while (p < stop) {
    const char* q = p;
    if (!is_space(next_char(q))) break;
    p = q;
  }
  return static_cast<size_t>(p - text.data());
}

}  // namespace paro::tokenizer
