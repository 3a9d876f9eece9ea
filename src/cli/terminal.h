// What a terminal can do: is it one, its width, and the few escape sequences that chat uses.
#pragma once

#include <string_view>

namespace paro::cli {

bool stdin_is_terminal();
bool stdout_is_terminal();
/// Colours and dimming on stdout: a terminal that understands them, and NO_COLOR not set.
bool stdout_has_style();
/// Columns of the terminal, 80 when unknown.
int terminal_width();

constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kPlain = "\033[0m";

}  // namespace paro::cli
