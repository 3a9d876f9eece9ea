// For tests: tests/fixtures/hub_server.py as a process, which serves a folder as a hub would.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace paro {

class HubProcess {
 public:
  static bool possible() { return std::system("python3 -c '' > /dev/null 2>&1") == 0; }

  /// Serves FOLDER/files.
  explicit HubProcess(const std::filesystem::path& folder) {
    const std::string script = std::string(PARO_SOURCE_DIR) + "/tests/fixtures/hub_server.py";
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    server_ = ::fork();
    if (server_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execlp("python3", "python3", script.c_str(), folder.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ::fdopen(ends[0], "r");
    endpoint_ = "http://127.0.0.1:" + line();
  }
  ~HubProcess() {
    stop();
    std::fclose(output_);
  }
  HubProcess(const HubProcess&) = delete;
  HubProcess& operator=(const HubProcess&) = delete;

  const std::string& endpoint() const { return endpoint_; }
  void stop() {
    if (server_ > 0) {
      ::kill(server_, SIGKILL);
      ::waitpid(server_, nullptr, 0);
    }
    server_ = -1;
  }
  /// Ends the server; all it was asked, a line each: path, range, authorization.
  std::string requests() {
    stop();
    std::string all;
    for (std::string one = line(); !one.empty(); one = line()) all += one + "\n";
    return all;
  }

 private:
  std::string line() {
    char text[1000] = "";
    if (std::fgets(text, sizeof text, output_) == nullptr) return "";
    std::string result = text;
    result.pop_back();
    return result;
  }

  pid_t server_ = -1;
  FILE* output_ = nullptr;
  std::string endpoint_;
};

}  // namespace paro
