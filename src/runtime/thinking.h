// Tells a reasoning model's thinking (<think> ... </think>) from its answer while both stream in.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paro {

struct TextPiece {
  std::string text;
  bool thinking = false;
};

class ThinkingSplitter {
 public:
  /// `inside`: the prompt already opened the thinking (prompt_opens_thinking).
  explicit ThinkingSplitter(bool inside = false) : inside_(inside) {}
  /// Pieces in order, tags left out; text that may be the beginning of a tag is held back.
  std::vector<TextPiece> push(std::string_view text);
  std::vector<TextPiece> finish();

 private:
  std::string held_;
  bool inside_;
};

/// True when a rendered prompt ends with an open <think>.
bool prompt_opens_thinking(std::string_view prompt);

}  // namespace paro
