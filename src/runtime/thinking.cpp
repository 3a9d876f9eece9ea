#include "runtime/thinking.h"

#include <algorithm>
#include <utility>

namespace paro {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";

}  // namespace

std::vector<TextPiece> ThinkingSplitter::push(std::string_view text) {
  held_ += text;
  std::vector<TextPiece> pieces;
  while (true) {
    const std::string_view tag = inside_ ? kClose : kOpen;
    const size_t at = held_.find(tag);
    size_t shown = at;
    if (at == std::string::npos) {
      size_t keep = std::min(tag.size() - 1, held_.size());
      while (keep > 0 && !tag.starts_with(std::string_view(held_).substr(held_.size() - keep))) --keep;
      shown = held_.size() - keep;
    }
    if (shown > 0) pieces.push_back({held_.substr(0, shown), inside_});
    held_.erase(0, shown);
    if (at == std::string::npos) return pieces;
    held_.erase(0, tag.size());
    inside_ = !inside_;
  }
}

std::vector<TextPiece> ThinkingSplitter::finish() {
  if (held_.empty()) return {};
  return {{std::exchange(held_, {}), inside_}};
}

bool prompt_opens_thinking(std::string_view prompt) {
  while (!prompt.empty() && (prompt.back() == '\n' || prompt.back() == ' ')) prompt.remove_suffix(1);
  return prompt.ends_with(kOpen);
}

}  // namespace paro
