// `--skip`: which linears stay 16-bit.
#pragma once

#include <regex>
#include <string>
#include <vector>

namespace paro::calib {

class SkipFilter {
 public:
  /// Error{kUsage} for what is not a regular expression.
  explicit SkipFilter(const std::vector<std::string>& patterns);
  /// True where a pattern is found in the linear's name.
  bool operator()(const std::string& name) const;

 private:
  std::vector<std::regex> patterns_;
};

}  // namespace paro::calib
