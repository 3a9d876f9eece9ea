// A folder of this process's own, for as long as it is needed.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "base/error.h"

namespace paro::calib {

class ScratchFolder {
 public:
  /// Under the system's folder for temporary files. Throws Error{kLimit} when it cannot be made.
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "paro-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) fail_limit("cannot make a temporary folder {}", pattern);
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace paro::calib
