#include "cli/output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/error.h"
#include "cli/interrupt.h"

namespace paro::cli {

void guard_standard_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  for (int fd = 0; fd <= 2; ++fd) {
    if (::fcntl(fd, F_GETFD) != -1 || errno != EBADF) continue;
    // Opened the wrong way round on purpose: using the stream still fails.
    ::open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
  }
}

void write_stdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EPIPE) throw StdoutClosed{};
    if (errno == ENOSPC || errno == EDQUOT) fail_limit("standard output: cannot be written: {}", std::strerror(errno));
    fail_input("standard output: cannot be written: {}", std::strerror(errno));
  }
}

void write_json(const Json& document) { write_stdout(dump_json(document, 2) + "\n"); }

std::string read_stdin(int64_t max_bytes) {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count == 0) return text;
    if (count < 0) {
      if (errno == EINTR) {
        if (interrupt_flag()) throw Interrupted{};
        continue;
      }
      fail_input("standard input: cannot be read: {}", std::strerror(errno));
    }
    text.append(buffer, static_cast<size_t>(count));
    if (static_cast<int64_t>(text.size()) > max_bytes) fail_input("standard input: larger than {} bytes", max_bytes);
  }
}

std::string size_text(int64_t bytes) {
  if (bytes < 10'000) return fmt::format("{} B", bytes);
  if (bytes < 10'000'000) return fmt::format("{:.1f} kB", static_cast<double>(bytes) / 1e3);
  if (bytes < 10'000'000'000) return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
  return fmt::format("{:.2f} GB", static_cast<double>(bytes) / 1e9);
}

}  // namespace paro::cli
