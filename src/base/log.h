// Messages for people, on stderr; results go to stdout. Libraries do not print: they call these, and the command
// line decides what is shown.
#pragma once

#include <fmt/core.h>

#include <string>
#include <utility>

namespace paro {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kQuiet };

void set_log_level(LogLevel level);
LogLevel log_level();
/// One line on stderr when `level` is at or above the set level.
void log_line(LogLevel level, const std::string& message);

template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() <= LogLevel::kInfo) log_line(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_level() <= LogLevel::kDebug) log_line(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace paro
