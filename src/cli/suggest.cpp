#include "cli/suggest.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace paro::cli {
namespace {

/// Insertions, deletions, replacements and swaps of neighbours that turn a into b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

std::vector<std::string> near_names(std::string_view word, const std::vector<std::string>& names) {
  word = word.substr(0, 64);
  std::vector<std::pair<size_t, std::string>> found;
  for (const std::string& name : names) {
    size_t distance = edit_distance(word, name);
    if (word.size() >= 2 && std::string_view(name).starts_with(word)) distance = 0;
    if (distance <= std::max<size_t>(1, std::min(word.size(), name.size()) / 3)) found.emplace_back(distance, name);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> result;
  for (size_t i = 0; i < found.size() && i < 3; ++i) result.push_back(found[i].second);
  return result;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : near_names(word, names))
    text += (text.empty() ? "; did you mean '" : " or '") + name + "'";
  return text.empty() ? text : text + "?";
}

}  // namespace paro::cli
