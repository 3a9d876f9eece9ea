#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace paro::cli {
namespace {

termios settings_before;
std::atomic<bool> typing_hidden{false};

}  // namespace

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

bool stdout_has_style() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || std::string_view(term) == "dumb";
  return stdout_is_terminal() && !dumb && (no_color == nullptr || *no_color == '\0');
}

int terminal_width() {
  winsize size = {};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string without_controls(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) continue;
    // U+0080 to U+009F, the control characters of eight bits.
    if (c == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0) {
      ++i;
      continue;
    }
    shown += text[i];
  }
  return shown;
}

TypingHidden::TypingHidden() {
  if (::tcgetattr(STDIN_FILENO, &settings_before) != 0) return;
  termios hidden = settings_before;
  hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  typing_hidden = ::tcsetattr(STDIN_FILENO, TCSADRAIN, &hidden) == 0;
}

TypingHidden::~TypingHidden() { show_typing(); }

void show_typing() {
  if (typing_hidden.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSADRAIN, &settings_before);
}

}  // namespace paro::cli
