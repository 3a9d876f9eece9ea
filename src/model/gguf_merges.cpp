#include "model/gguf_merges.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "base/error.h"

namespace paro {
namespace {

constexpr size_t kMaxPieceBytes = 128;

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u; }

int64_t characters(std::string_view text) { return std::count_if(text.begin(), text.end(), begins_character); }

struct Merge {
  size_t piece;
  size_t left;
  size_t right;
  int64_t left_length;
  int64_t right_length;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> merges_from_scores(const std::vector<std::string>& pieces,
                                                                    const std::vector<double>& scores,
                                                                    const std::vector<bool>& skipped) {
  PARO_CHECK(pieces.size() == scores.size() && pieces.size() == skipped.size());
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < pieces.size(); ++id)
    if (!skipped[id]) ids.try_emplace(pieces[id], id);
  std::vector<Merge> merges;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const std::string_view piece = pieces[id];
    if (skipped[id] || piece.size() > kMaxPieceBytes) continue;
    const size_t first = merges.size();
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      if (!begins_character(piece[cut])) continue;
      const auto left = ids.find(piece.substr(0, cut));
      if (left == ids.end()) continue;
      const auto right = ids.find(piece.substr(cut));
      if (right == ids.end()) continue;
      merges.push_back({id, left->second, right->second, characters(left->first), characters(right->first)});
    }
    std::sort(merges.begin() + static_cast<std::ptrdiff_t>(first), merges.end(),
              [](const Merge& a, const Merge& b) { return std::pair(a.left, a.right) < std::pair(b.left, b.right); });
  }
  std::stable_sort(merges.begin(), merges.end(), [&](const Merge& a, const Merge& b) {
    if (scores[a.piece] != scores[b.piece]) return scores[a.piece] > scores[b.piece];
    return std::pair(a.left_length, a.right_length) > std::pair(b.left_length, b.right_length);
  });
  std::vector<std::pair<std::string, std::string>> result;
  result.reserve(merges.size());
  for (const Merge& merge : merges) result.emplace_back(pieces[merge.left], pieces[merge.right]);
  return result;
}

}  // namespace paro
