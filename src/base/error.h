// Errors. Input can be wrong: throw Error (fail_input and friends) with a message that names the place, what was
// expected and what was found. Code can be wrong: PARO_CHECK. Only cli/main.cpp turns an Error into an exit code.
#pragma once

#include <fmt/core.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace paro {

enum class ErrorKind {
  kInput,   // a file, model, text or request is wrong: exit code 1
  kUsage,   // the command line is wrong: exit code 2
  kLimit,   // memory, disk, device or another limit was hit: exit code 3
  kDefect,  // a defect of paro itself: exit code 70
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

template <typename... Args>
[[noreturn]] void fail_input(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kInput, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kUsage, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
[[noreturn]] void fail_limit(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(ErrorKind::kLimit, fmt::format(format, std::forward<Args>(args)...));
}

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace paro

/// An invariant of our own code; never reachable from input. Throws Error{kDefect}.
#define PARO_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::paro::check_failed(#condition, __FILE__, __LINE__))
