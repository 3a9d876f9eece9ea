// Lines typed before, kept in ~/.local/state/paro/history (XDG_STATE_HOME honoured), newest last. A history that
// cannot be read or written is silently none: it is a comfort.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace paro::cli {

class History {
 public:
  /// Reads the file; an empty path keeps the history in memory only.
  explicit History(std::filesystem::path path);
  static std::filesystem::path default_path();
  /// Adds a line (not one equal to the last) and appends it to the file.
  void add(const std::string& line);
  const std::vector<std::string>& lines() const { return lines_; }

 private:
  std::filesystem::path path_;
  std::vector<std::string> lines_;
};

}  // namespace paro::cli
