// Reading the model: vocabulary, merges, and the tables that encoding looks at.
#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "base/error.h"
#include "io/tokenizer/bpe.h"
#include "io/tokenizer/byte_alphabet.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

// A token of the sentencepiece kind that stands for one byte.
std::string byte_token(int byte) { return fmt::format("<0x{:02X}>", byte); }

bool is_byte_token(std::string_view token) {
  return token.size() == 6 && token.starts_with("<0x") && token.ends_with('>');
}

char32_t first_char(std::string_view text) { return read_utf8(text.data(), text.data() + text.size()).value; }

char32_t last_char(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (text[at] & 0xC0) == 0x80) --at;
  return first_char(text.substr(at));
}

}  // namespace

Bpe::Bpe(const Json& json, bool bytes, const std::string& place) : bytes_(bytes) {
  static std::atomic<uint32_t> serials{0};
  serial_ = ++serials;
  const std::string inside = place + ": model";
  if (!json.is_object()) fail_input("{}: expected an object, found {}", inside, json_kind(json));
  // Old files name no type; those are BPE when they have merges.
  const std::string type = json_string(json, "type", json.contains("merges") ? "BPE" : "", inside);
  if (type != "BPE")
    fail_input("{}: the type is \"{}\", expected \"BPE\", the only kind of tokenizer that is supported", inside, type);
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const std::string value = json_string(json, key, "", inside); !value.empty())
      fail_input("{}: \"{}\" \"{}\" is not supported", inside, key, value);
  if (json_number(json, "dropout", 0, inside) != 0) fail_input("{}: \"dropout\" is not supported", inside);
  fuse_unknown_ = json_bool(json, "fuse_unk", false, inside);
  byte_fallback_ = json_bool(json, "byte_fallback", false, inside);
  ignore_merges_ = json_bool(json, "ignore_merges", false, inside);
  read_vocabulary(json, inside);
  read_merges(json, inside);
  if (const std::string unknown = json_string(json, "unk_token", "", inside); !unknown.empty()) {
    unknown_ = find(unknown);
    if (unknown_ < 0) fail_input("{}: \"unk_token\" \"{}\" is not in the vocabulary", inside, unknown);
  }
  index_characters();
}

void Bpe::read_vocabulary(const Json& json, const std::string& place) {
  const auto vocabulary = json.find("vocab");
  if (vocabulary == json.end()) fail_input("{}: \"vocab\" is missing", place);
  if (!vocabulary->is_object())
    fail_input("{}: \"vocab\": expected an object, found {}", place, json_kind(*vocabulary));
  count_ = static_cast<int64_t>(vocabulary->size());
  // Ids may leave gaps, but not so many that the tables outgrow the file.
  const int64_t limit = std::min(2 * count_ + 65536, MergeMap::kMaxIds);
  int64_t largest = -1;
  for (const auto& [token, value] : vocabulary->items()) {
    if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() >= limit)
      fail_input("{}: \"vocab\": the id of \"{}\" is {}, expected an integer from 0 to {}", place, token,
                 dump_json(value), limit - 1);
    largest = std::max(largest, value.get<int64_t>());
  }
  tokens_.resize(static_cast<size_t>(largest + 1));
  there_.resize(tokens_.size());
  reachable_ = std::make_unique<std::atomic<uint8_t>[]>(tokens_.size());
  by_token_.reserve(static_cast<size_t>(count_));
  for (const auto& [token, value] : vocabulary->items()) {
    const auto id = value.get<size_t>();
    if (there_[id]) fail_input("{}: \"vocab\": the id {} belongs to \"{}\" and \"{}\"", place, id, tokens_[id], token);
    there_[id] = true;
    tokens_[id] = token;
    by_token_.insert(tokens_, static_cast<int32_t>(id));
  }
  if (!bytes_) return;
  raw_.resize(tokens_.size());
  by_raw_.reserve(static_cast<size_t>(count_));
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!there_[id]) continue;
    std::optional<std::string> raw = ByteAlphabet::get().bytes(tokens_[id]);
    if (!raw || raw->empty()) continue;
    raw_[id] = std::move(*raw);
    by_raw_.insert(raw_, static_cast<int32_t>(id));
  }
}

void Bpe::read_merges(const Json& json, const std::string& place) {
  const auto merges = json.find("merges");
  if (merges == json.end()) fail_input("{}: \"merges\" is missing", place);
  if (!merges->is_array()) fail_input("{}: \"merges\": expected an array, found {}", place, json_kind(*merges));
  if (merges->size() >= static_cast<size_t>(MergeMap::kMaxRanks))
    fail_input("{}: {} merges, expected fewer than {}", place, merges->size(), MergeMap::kMaxRanks);
  merges_.reserve(merges->size());
  std::string left, right;
  bool all_of_characters = true;
  std::vector<std::pair<char32_t, char32_t>> joined;
  for (const Json& merge : *merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      left = merge[0].get_ref<const std::string&>();
      right = merge[1].get_ref<const std::string&>();
    } else if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      if (text.starts_with("#version")) continue;
      const size_t space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos)
        fail_input("{}: merge {}: expected two tokens with a space between, found \"{}\"", place,
                   result_of_rank_.size(), text);
      left = text.substr(0, space);
      right = text.substr(space + 1);
    } else {
      fail_input("{}: merge {}: expected a string or two strings, found {}", place, result_of_rank_.size(),
                 json_kind(merge));
    }
    const int32_t a = find(left), b = find(right), result = find(left + right);
    if (a < 0 || b < 0 || result < 0 || left.empty() || right.empty())
      fail_input("{}: merge {}: \"{}\" is not in the vocabulary", place, result_of_rank_.size(),
                 a < 0   ? left
                 : b < 0 ? right
                         : left + right);
    merges_.set(a, b, static_cast<uint32_t>(result_of_rank_.size()));
    result_of_rank_.push_back(result);
    if (bytes_) continue;
    all_of_characters = all_of_characters && !is_byte_token(left) && !is_byte_token(right);
    joined.emplace_back(last_char(left), first_char(right));
  }
  if (bytes_) return;
  can_cut_ = all_of_characters && !ignore_merges_;
  low_pairs_.assign(128 * 128 / 64, 0);
  pairs_.assign(table_size(joined.size()), 0);
  for (const auto& [a, b] : joined) {
    if (a < 128 && b < 128) low_pairs_[(a * 128 + b) / 64] |= uint64_t{1} << (b % 64);
    const uint64_t pair = static_cast<uint64_t>(a) << 32 | b;
    size_t at = mix_hash(a, b) & (pairs_.size() - 1);
    while (pairs_[at] != 0 && pairs_[at] != pair) at = (at + 1) & (pairs_.size() - 1);
    pairs_[at] = pair;
  }
}

void Bpe::index_characters() {
  byte_symbols_.assign(256, kNoSymbol);
  if (bytes_) {
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      const int32_t id = by_raw_.find(raw_, {&c, 1});
      if (id >= 0) byte_symbols_[static_cast<size_t>(byte)] = id;
    }
  } else {
    low_symbols_.assign(0x10000, kNoSymbol);
    for (size_t id = 0; id < tokens_.size(); ++id) {
      const std::string& token = tokens_[id];
      if (!there_[id] || token.empty()) continue;
      const Utf8Char c = read_utf8(token.data(), token.data() + token.size());
      if (!c.valid || c.length != token.size()) continue;
      if (c.value < 0x10000) {
        low_symbols_[c.value] = static_cast<int32_t>(id);
      } else {
        high_symbols_[c.value] = static_cast<int32_t>(id);
      }
    }
    if (byte_fallback_)
      for (int byte = 0; byte < 256; ++byte)
        if (const int32_t id = find(byte_token(byte)); id >= 0) byte_symbols_[static_cast<size_t>(byte)] = id;
  }
  for (int32_t symbol : byte_symbols_) any_bytes_missing_ = any_bytes_missing_ || symbol == kNoSymbol;
}

}  // namespace paro::tokenizer
