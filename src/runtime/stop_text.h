// Stop strings: they may lie across tokens, so text that may be the beginning of one is held back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paro {

class StopText {
 public:
  /// Empty strings are ignored.
  explicit StopText(std::vector<std::string> stops);

  /// Adds text; returns what can be shown. After a stop string was found (its text and what follows are dropped)
  /// found() is true and nothing more comes.
  std::string push(std::string_view text);
  /// The text held back when nothing more comes.
  std::string finish();
  bool found() const { return found_; }
  /// The stop string that was found.
  const std::string& which() const { return which_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  std::string which_;
  bool found_ = false;
};

}  // namespace paro
