#include "base/progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/log.h"

namespace paro {

using Clock = std::chrono::steady_clock;

Progress::Progress(std::string title, int64_t total)
    : title_(std::move(title)),
      total_(std::max<int64_t>(total, 1)),
      terminal_(::isatty(STDERR_FILENO) == 1),
      visible_(log_level() <= LogLevel::kInfo),
      start_(Clock::now()),
      shown_(start_) {}

Progress::~Progress() {
  if (bar_on_line_) std::fputc('\n', stderr);
}

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void Progress::advance(int64_t amount, const std::string& note) {
  done_ = std::min(total_, done_ + amount);
  if (!visible_) return;
  const bool last = done_ == total_;
  const auto now = Clock::now();
  const auto pause = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(2000);
  // A note is news (a finished layer): a plain log shows each of them.
  if (!last && now - shown_ < pause && (terminal_ || note.empty())) return;
  shown_ = now;
  show(note, last);
}

void Progress::show(const std::string& note, bool last) {
  const double fraction = static_cast<double>(done_) / static_cast<double>(total_);
  const double used = seconds();
  const std::string time = last ? duration_text(used) : duration_text(used / std::max(fraction, 1e-9) - used) + " left";
  if (terminal_) {
    constexpr int kWidth = 24;
    const int filled = static_cast<int>(fraction * kWidth);
    std::fprintf(stderr, "\r\033[K%s [%s%s] %lld/%lld  %s  %s", title_.c_str(), std::string(filled, '#').c_str(),
                 std::string(kWidth - filled, '.').c_str(), static_cast<long long>(done_),
                 static_cast<long long>(total_), time.c_str(), note.c_str());
    bar_on_line_ = !last;
    if (last) std::fputc('\n', stderr);
    std::fflush(stderr);
  } else {
    std::fprintf(stderr, "%s %lld/%lld  %s  %s\n", title_.c_str(), static_cast<long long>(done_),
                 static_cast<long long>(total_), time.c_str(), note.c_str());
  }
}

std::string duration_text(double seconds) {
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace paro
