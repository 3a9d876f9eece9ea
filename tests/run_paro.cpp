#include "run_paro.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

namespace paro {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPatience = std::chrono::seconds(60);

struct Pipe {
  int read = -1;
  int write = -1;
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    read = ends[0];
    write = ends[1];
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_read() { close_end(read); }
  void close_write() { close_end(write); }

 private:
  static void close_end(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

[[noreturn]] void execute(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  for (const std::string& entry : environment) {
    const size_t at = entry.find('=');
    ::setenv(entry.substr(0, at).c_str(), entry.substr(at + 1).c_str(), 1);
  }
  std::string program = PARO_BINARY;
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv = {program.data()};
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(PARO_BINARY, argv.data());
  ::_exit(126);
}

int exit_code_of(pid_t child, Clock::time_point deadline) {
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) ::kill(child, SIGKILL);
    ::usleep(2000);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// Reads what is there; false at the end.
bool drain(int fd, std::string& text) {
  std::array<char, 4096> buffer;
  const ssize_t count = ::read(fd, buffer.data(), buffer.size());
  if (count <= 0) return count < 0 && errno == EINTR;
  text.append(buffer.data(), static_cast<size_t>(count));
  return true;
}

}  // namespace

Outcome run_paro(const std::vector<std::string>& arguments, const RunOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  Pipe in;
  Pipe out;
  Pipe err;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGPIPE, SIG_DFL);
    if (options.stdin_closed) {
      ::close(0);
    } else {
      ::dup2(in.read, 0);
    }
    if (options.stdout_path == "-") {
      ::close(1);
    } else if (!options.stdout_path.empty()) {
      const int fd = ::open(options.stdout_path.c_str(), O_WRONLY);
      ::dup2(fd, 1);
    } else {
      ::dup2(out.write, 1);
    }
    ::dup2(err.write, 2);
    execute(arguments, options.environment);
  }
  in.close_read();
  out.close_write();
  err.close_write();
  const auto deadline = Clock::now() + kPatience;
  // Inputs of tests fit into a pipe's buffer.
  if (!options.input.empty() && ::write(in.write, options.input.data(), options.input.size()) < 0) in.close_write();
  in.close_write();

  Outcome run;
  bool signalled = options.signal_after_output == 0;
  while ((out.read >= 0 || err.read >= 0) && Clock::now() < deadline) {
    std::array<pollfd, 2> fds = {pollfd{out.read, POLLIN, 0}, pollfd{err.read, POLLIN, 0}};
    ::poll(fds.data(), fds.size(), 1000);
    if (fds[0].revents != 0 && !drain(out.read, run.out)) out.close_read();
    if (fds[1].revents != 0 && !drain(err.read, run.err)) err.close_read();
    if (!signalled && !run.out.empty()) {
      ::kill(child, options.signal_after_output);
      signalled = true;
    }
    if (options.close_stdout_after > 0 && static_cast<int>(run.out.size()) >= options.close_stdout_after) {
      out.close_read();
    }
  }
  run.exit_code = exit_code_of(child, deadline);
  return run;
}

Outcome run_paro_on_terminal(const std::vector<std::string>& arguments, const std::vector<TerminalStep>& steps,
                             const std::vector<std::string>& environment) {
  int terminal = -1;
  winsize size = {.ws_row = 24, .ws_col = 80};
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, &size);
  if (child == 0) {
    ::setenv("TERM", "xterm", 1);
    execute(arguments, environment);
  }
  auto deadline = Clock::now() + kPatience;
  Outcome run;
  size_t seen = 0;
  size_t step = 0;
  while (Clock::now() < deadline) {
    pollfd fd = {terminal, POLLIN, 0};
    if (::poll(&fd, 1, 1000) > 0 && !drain(terminal, run.out)) break;
    while (step < steps.size()) {
      const size_t at = run.out.find(steps[step].expect, seen);
      if (at == std::string::npos) break;
      seen = at + steps[step].expect.size();
      const std::string& type = steps[step].type;
      if (::write(terminal, type.data(), type.size()) < 0) break;
      ++step;
      deadline = Clock::now() + kPatience;
    }
  }
  run.exit_code = exit_code_of(child, deadline);
  ::close(terminal);
  if (step < steps.size()) run.err = "never shown: " + steps[step].expect;
  return run;
}

}  // namespace paro
