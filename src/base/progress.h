// Progress on stderr: a bar with the time left on a terminal, plain lines otherwise, nothing when the log is quiet.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace paro {

class Progress {
 public:
  /// `total` in whatever unit advance() counts.
  Progress(std::string title, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `note` is shown after the numbers (the layer's loss, say).
  void advance(int64_t amount, const std::string& note = "");
  double seconds() const;

 private:
  void show(const std::string& note, bool last);

  std::string title_;
  int64_t total_;
  int64_t done_ = 0;
  bool terminal_;
  bool visible_;
  bool bar_on_line_ = false;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point shown_;
};

/// "3 min 20 s", "1.5 s"
std::string duration_text(double seconds);

}  // namespace paro
