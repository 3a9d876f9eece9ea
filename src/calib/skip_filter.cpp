#include "calib/skip_filter.h"

#include <algorithm>

#include "base/error.h"

namespace paro::calib {

SkipFilter::SkipFilter(const std::vector<std::string>& patterns) {
  for (const std::string& pattern : patterns) {
    try {
      patterns_.emplace_back(pattern);
    } catch (const std::regex_error& error) {
      fail_usage("--skip '{}': not a regular expression: {}", pattern, error.what());
    }
  }
}

bool SkipFilter::operator()(const std::string& name) const {
  return std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const std::regex& e) { return std::regex_search(name, e); });
}

}  // namespace paro::calib
