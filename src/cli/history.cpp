#include "cli/history.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>

#include "base/error.h"
#include "base/files.h"

namespace paro::cli {
namespace {

constexpr size_t kMostLines = 1000;
constexpr size_t kLongestLine = 64 << 10;

/// One line of the file for a message of several.
std::string escape(const std::string& line) {
  std::string text;
  for (const char c : line) {
    if (c == '\\') {
      text += "\\\\";
    } else if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return text;
}

std::string unescape(const std::string& text) {
  std::string line;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      line += text[i] == 'n' ? '\n' : text[i];
    } else {
      line += text[i];
    }
  }
  return line;
}

}  // namespace

std::filesystem::path History::default_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::filesystem::path(state) / "paro" / "history";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".local" / "state" / "paro" / "history";
}

History::History(std::filesystem::path path) : path_(std::move(path)) {
  if (path_.empty()) return;
  std::string text;
  try {
    text = read_file(path_, 16 << 20);
  } catch (const Error&) {
    return;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) lines_.push_back(unescape(text.substr(at, end - at)));
    at = end + 1;
  }
  if (lines_.size() > 2 * kMostLines) {
    lines_.erase(lines_.begin(), lines_.end() - kMostLines);
    std::string kept;
    for (const std::string& line : lines_) kept += escape(line) + "\n";
    try {
      write_file(path_, kept);
    } catch (const Error&) {
      path_.clear();
    }
  }
}

void History::add(const std::string& line) {
  if (line.empty() || line.size() > kLongestLine || (!lines_.empty() && lines_.back() == line)) return;
  lines_.push_back(line);
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::create_directories(path_.parent_path(), ignored);
  // Readable by its owner only: people tell a chat private things.
  const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return;
  const std::string text = escape(line) + "\n";
  if (::write(fd, text.data(), text.size()) < 0) path_.clear();
  ::close(fd);
}

}  // namespace paro::cli
