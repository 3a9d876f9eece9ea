#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <mutex>

namespace paro {
namespace {

std::atomic<LogLevel> current_level{LogLevel::kInfo};
std::mutex output_mutex;

}  // namespace

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level; }

void log_line(LogLevel level, const std::string& message) {
  if (level < log_level()) return;
  const char* prefix = level == LogLevel::kWarning ? "paro: warning: "
                       : level == LogLevel::kError ? "paro: error: "
                                                   : "";
  const std::lock_guard lock(output_mutex);
  std::fprintf(stderr, "%s%s\n", prefix, message.c_str());
}

}  // namespace paro
