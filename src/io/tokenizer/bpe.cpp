#include "io/tokenizer/bpe.h"

#include <algorithm>
#include <functional>

#include "io/tokenizer/utf8.h"
#include "io/tokenizer/word_cache.h"

namespace paro::tokenizer {
namespace {

// Up to here the list of pairs is searched for the lowest rank after every merge; longer words take a heap.
constexpr size_t kShort = 48;

}  // namespace

void Bpe::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (bytes_ || !can_cut_) return encode_cached(word, ids);
  const char* start = word.data();
  const char* const end = start + word.size();
  const char* p = start;
  char32_t previous = next_char(p);
  while (p < end) {
    const char* const at = p;
    const char32_t c = next_char(p);
    if (!may_cross(previous, c)) {
      encode_cached({start, static_cast<size_t>(at - start)}, ids);
      start = at;
    }
    previous = c;
  }
  encode_cached({start, static_cast<size_t>(end - start)}, ids);
}

// False when no merge can join the two, so that a text may be cut between them.
bool Bpe::may_cross(char32_t left, char32_t right) const {
  if (left < 128 && right < 128) {
    if (low_pairs_[(left * 128 + right) / 64] >> (right % 64) & 1) return true;
  } else {
    const uint64_t pair = static_cast<uint64_t>(left) << 32 | right;
    for (size_t at = mix_hash(left, right) & (pairs_.size() - 1); pairs_[at] != 0; at = (at + 1) & (pairs_.size() - 1))
      if (pairs_[at] == pair) return true;
  }
  // Next to a character that is not in the vocabulary a run of unknown tokens may be fused.
  return symbol_of(left) == kNoSymbol || symbol_of(right) == kNoSymbol;
}

int32_t Bpe::symbol_of(char32_t c) const {
  if (c < 0x10000) return low_symbols_[c];
  const auto found = high_symbols_.find(c);
  return found == high_symbols_.end() ? kNoSymbol : found->second;
}

void Bpe::encode_cached(std::string_view word, std::vector<int32_t>& ids) const {
  if (word.size() > WordCache::kMaxBytes) return encode_word(word, ids);
  const WordCache::Key key = WordCache::key(word);
  WordCache::Entry& entry = WordCache::of_thread().entry(serial_, key);
  if (entry.holds(serial_, key)) {
    ids.insert(ids.end(), entry.ids, entry.ids + entry.count);
    return;
  }
  const size_t before = ids.size();
  encode_word(word, ids);
  const size_t count = ids.size() - before;
  if (count <= WordCache::kMaxIds) entry.fill(serial_, key, {ids.data() + before, count});
}

void Bpe::encode_word(std::string_view word, std::vector<int32_t>& ids) const {
  const int32_t whole = bytes_ ? by_raw_.find(raw_, word) : find(word);
  if (whole >= 0 && (ignore_merges_ || is_reachable(whole))) return ids.push_back(whole);
  merge_word(word, ids);
}

// Whether the merges make the token of its own spelling; found out when it is first asked for.
bool Bpe::is_reachable(int32_t id) const {
  std::atomic<uint8_t>& known = reachable_[static_cast<size_t>(id)];
  uint8_t state = known.load(std::memory_order_relaxed);
  if (state == kNotKnown) {
    std::vector<int32_t> ids;
    merge_word(bytes_ ? raw_[static_cast<size_t>(id)] : tokens_[static_cast<size_t>(id)], ids);
    state = ids.size() == 1 && ids[0] == id ? kReachable : kUnreachable;
    known.store(state, std::memory_order_relaxed);
  }
  return state == kReachable;
}

void Bpe::merge_word(std::string_view word, std::vector<int32_t>& ids) const {
  if (bytes_ && !any_bytes_missing_ && word.size() <= kShort) {
    int32_t symbols[kShort];
    for (size_t i = 0; i < word.size(); ++i) symbols[i] = byte_symbols_[static_cast<unsigned char>(word[i])];
    return merge_short(symbols, word.size(), ids);
  }
  std::vector<int32_t> symbols;
  symbols.reserve(word.size());
  add_symbols(word, symbols);
  if (symbols.size() <= kShort) return merge_short(symbols.data(), symbols.size(), ids);
  merge_long(symbols, ids);
}

// The symbols a word starts from: one for each character, <0xNN> for the bytes of those that are not in the
// vocabulary, else the unknown token, else nothing.
void Bpe::add_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  bool pending = false;  // an unknown token that waits for what it may be fused with
  const char* const end = word.data() + word.size();
  for (const char* p = word.data(); p < end;) {
    const char* const start = p;
    int32_t symbol;
    if (bytes_) {
      symbol = byte_symbols_[static_cast<unsigned char>(*p++)];
    } else {
      symbol = symbol_of(next_char(p));
    }
    if (symbol != kNoSymbol) {
      if (pending) symbols.push_back(unknown_);
      pending = false;
      symbols.push_back(symbol);
      continue;
    }
    if (byte_fallback_ && !bytes_) {
      const auto missing = [&](char byte) { return byte_symbols_[static_cast<unsigned char>(byte)] == kNoSymbol; };
      if (std::none_of(start, p, missing)) {
        for (const char* q = start; q < p; ++q) symbols.push_back(byte_symbols_[static_cast<unsigned char>(*q)]);
        continue;
      }
    }
    if (unknown_ < 0) continue;
    if (pending && !fuse_unknown_) symbols.push_back(unknown_);
    pending = true;
  }
  if (pending) symbols.push_back(unknown_);
}

void Bpe::merge_short(int32_t* symbols, size_t count, std::vector<int32_t>& ids) const {
  uint32_t ranks[kShort];
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = merges_.find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == MergeMap::kNone) break;
    symbols[best] = result_of_rank_[ranks[best]];
    --count;
    for (size_t i = best + 1; i < count; ++i) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 1 < count; ++i) ranks[i] = ranks[i + 1];
    if (best + 1 < count) ranks[best] = merges_.find(symbols[best], symbols[best + 1]);
    if (best > 0) ranks[best - 1] = merges_.find(symbols[best - 1], symbols[best]);
  }
  ids.insert(ids.end(), symbols, symbols + count);
}

void Bpe::merge_long(std::span<const int32_t> symbols, std::vector<int32_t>& ids) const {
  // A doubly linked list of symbols, and a heap of candidates rank << 32 | position, some of which are outdated.
  struct Node {
    int32_t symbol;  // -1 when merged into its left neighbour
    uint32_t previous, next;
  };
  const auto count = static_cast<uint32_t>(symbols.size());
  std::vector<Node> nodes(symbols.size());
  std::vector<uint64_t> heap;
  const auto candidate = [&](uint32_t left, uint32_t right) {
    const uint32_t rank = merges_.find(nodes[left].symbol, nodes[right].symbol);
    if (rank == MergeMap::kNone) return false;
    heap.push_back(static_cast<uint64_t>(rank) << 32 | left);
    return true;
  };
  for (uint32_t i = 0; i < count; ++i) nodes[i] = {symbols[i], i - 1, i + 1};
  for (uint32_t i = 0; i + 1 < count; ++i) candidate(i, i + 1);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto at = static_cast<uint32_t>(heap.back());
    heap.pop_back();
    Node& node = nodes[at];
    if (node.symbol < 0 || node.next >= count) continue;
    if (merges_.find(node.symbol, nodes[node.next].symbol) != rank) continue;
    node.symbol = result_of_rank_[rank];
    Node& right = nodes[node.next];
    right.symbol = -1;
    node.next = right.next;
    if (node.next < count) nodes[node.next].previous = at;
    if (at > 0 && candidate(node.previous, at)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
    if (node.next < count && candidate(at, node.next)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  }
  for (uint32_t i = 0; i < count; i = nodes[i].next) ids.push_back(nodes[i].symbol);
}

}  // namespace paro::tokenizer
