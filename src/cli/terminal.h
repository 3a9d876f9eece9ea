// What a terminal can do: is it one, its width, and the few escape sequences that chat uses.
#pragma once

#include <string>
#include <string_view>

namespace paro::cli {

bool stdin_is_terminal();
bool stdout_is_terminal();
/// Colours and dimming on stdout: a terminal that understands them, and NO_COLOR not set.
bool stdout_has_style();
/// Columns of the terminal, 80 when unknown.
int terminal_width();

/// `text` (whole UTF-8 characters) without what steers a terminal: control characters, except line breaks and tabs.
std::string without_controls(std::string_view text);

/// While it lives, what is typed is not shown; the next reader of standard input gets it. One at a time.
class TypingHidden {
 public:
  TypingHidden();
  ~TypingHidden();
  TypingHidden(const TypingHidden&) = delete;
  TypingHidden& operator=(const TypingHidden&) = delete;
};
/// Undoes a TypingHidden whose end will not come; a signal handler may call it.
void show_typing();

constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kPlain = "\033[0m";

}  // namespace paro::cli
